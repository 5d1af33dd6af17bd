"""`ray up cluster/onprem.yaml` for real, over SSH, on two hosts made of Linux namespaces.

`ray stop` kills every Ray process that it can see, so each host has processes, a network, a home
and a /tmp/ray of its own, and all of it ends with the outermost namespace. Of onprem.yaml the
test's copy replaces the addresses, the user and the key. The environment that its set-up would
install (there is no network here) is already there, as after a first `ray up`: `.venv` is a link
to the environment of the tests, and `installed` has the checksum of what is in it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.support import ROOT, TINY_BACKBONE, write_isic_folder

HOSTS = {"host2": "10.77.0.2", "host3": "10.77.0.3"}
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

COMMANDS = """
cd {root}
export HOME={work}/laptop TMPDIR={work}/laptop RAY_USAGE_STATS_ENABLED=0
ray() {{ {python} -m ray.scripts.scripts "$@"; }}
ssh_to() {{
    ssh -i {work}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR root@"$1" "$2"
}}
{python} -m ray.scripts.scripts get-auth-token --generate > /dev/null 2>&1
for address in {addresses}; do
    for _ in $(seq 100); do ssh_to $address true 2> /dev/null && break; sleep 0.2; done
done
ray up {config} -y < /dev/null > {work}/up.log 2>&1
ray exec {config} 'for _ in $(seq 30); do
    python -c "import ray; ray.init(\\"auto\\", log_to_driver=False); \
        exit(len([n for n in ray.nodes() if n[\\"Alive\\"]]) < 2)" 2>/dev/null && break; sleep 1
    done; ray status' > {work}/status.log 2>&1
ssh_to 10.77.0.3 'RAY_AUTH_TOKEN=another RAY_AUTH_MODE=token {python} -c "
import ray
ray.init(address=\\"10.77.0.2:6379\\")"' > {work}/stranger.log 2>&1 && touch {work}/stranger-let-in
ray exec {config} 'cd ~/masll-lab && python -m tuning.search --address auto \
    --data {work}/isic --study {work}/study {options}' > {work}/study.log 2>&1
ray down {config} -y < /dev/null > {work}/down.log 2>&1
left() {{ ssh_to "$1" 'ps -eo args= | grep -E "[r]aylet|[r]ay::|[g]cs_server|[m]onitor.py"'; }}
for address in {addresses}; do
    for _ in $(seq 180); do left $address > /dev/null || break; sleep 1; done
    left $address || true
done > {work}/left.log
"""


def missing() -> str:
    """What this machine lacks to play two hosts, or nothing."""
    programs = {
        "sshd": "openssh-server",
        "ssh": "openssh-client",
        "rsync": "rsync",
        "ip": "iproute2",
        "unshare": "util-linux",
        "ps": "procps",
    }
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    lacking = [package for name, package in programs.items() if not shutil.which(name, path=path)]
    if lacking:
        return f"needs {', '.join(lacking)}"
    bridge = ["ip", "link", "add", "bridge0", "type", "bridge"]
    if os.getuid() or subprocess.run([*NAMESPACES, *bridge], capture_output=True).returncode:
        return "needs root, with the right to make namespaces and a network bridge in them"
    return ""


def make_host(folder: Path, address: str, work: Path) -> None:
    """The files of a host that differ from the machine's, and what a first `ray up` would leave."""
    project = folder / "home" / "masll-lab"
    project.mkdir(parents=True)
    (project / ".venv").symlink_to(sys.prefix)
    there = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    (project / "installed").write_text(f"{hashlib.sha256(there).hexdigest()}  -\n")
    # The environment of the tests knows the checkout as the project; what was sent shall run. Ray
    # gives way to other processes, which is kind on a desk and endless on a busy test machine.
    bashrc = "export PYTHONPATH=$HOME/masll-lab RAY_worker_niceness=0\n"
    (folder / "home" / ".bashrc").write_text(bashrc)
    (folder / "passwd").write_text(
        f"root:x:0:0:root:{folder}/home:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    (folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress {address}\nHostKey {work}/host_key\nAuthorizedKeysFile {work}/key.pub\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nStrictModes no\n"
        "UsePAM no\nUseDNS no\nPidFile none\nMaxSessions 50\nMaxStartups 50\n"
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """The folder of a run: up, a study, down."""
    if why := missing():
        pytest.skip(f"no hosts to run onprem.yaml on: this machine {why}")
    work = tmp_path_factory.mktemp("onprem")
    (work / "laptop").mkdir()
    for key in ("key", "host_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / key], check=True
        )
    for name, address in HOSTS.items():
        make_host(work / name, address, work)
    write_isic_folder(work / "isic")
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
    head, *workers = HOSTS.values()
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(work / "key")}
    (work / "onprem.yaml").write_text(yaml.safe_dump(config))
    options = (
        f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 "
        "--trials 1 --epochs 1 --seeds 1 --batch-size 8 --num-gpus 0 "
        "--variants baseline gated-fusion"
    )
    (work / "commands").write_text(
        COMMANDS.format(
            root=ROOT,
            work=work,
            python=sys.executable,
            config=work / "onprem.yaml",
            addresses=" ".join(HOSTS.values()),
            options=options,
        )
    )
    result = subprocess.run(
        [*NAMESPACES, "bash", ROOT / "tests" / "cluster" / "two_hosts.sh", work],
        capture_output=True,
        text=True,
        timeout=900,
    )
    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-4000:]}" for log in work.glob("*.log"))
    assert result.returncode == 0, result.stdout + result.stderr + logs
    return work


@pytest.mark.soak
def test_ray_up_joins_both_hosts(work):
    status = (work / "status.log").read_text()
    assert "2 local.cluster.node" in status, status


@pytest.mark.soak
def test_a_study_runs_on_the_cluster(work):
    trials = pd.read_parquet(work / "study" / "trials")
    assert sorted(trials["trial_id"]) == sorted(
        f"{variant}.{TINY_BACKBONE}.{stage}.0000"
        for variant in ("baseline", "gated-fusion")
        for stage in ("search", "confirm")
    )
    assert set(trials["status"]) == {"completed"}
    assert "gated-fusion" in (work / "study.log").read_text()


@pytest.mark.soak
def test_the_project_and_the_token_were_sent_to_both_and_a_stranger_is_refused(work):
    token = (work / "laptop" / ".ray" / "auth_token").read_text()
    for host in HOSTS:
        home = work / host / "home"
        assert (home / ".ray" / "auth_token").read_text() == token
        sent, here = home / "masll-lab" / "tuning", ROOT / "tuning"
        assert {p.name for p in sent.glob("*.py")} == {p.name for p in here.glob("*.py")}
        assert not list(sent.rglob("__pycache__/*.so"))
    assert not (work / "stranger-let-in").exists()
    assert "InvalidAuthToken" in (work / "stranger.log").read_text()


@pytest.mark.soak
def test_ray_down_leaves_nothing_running(work):
    assert (work / "left.log").read_text() == ""
