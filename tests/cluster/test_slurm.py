"""cluster/slurm.sh with a `srun` that runs each command here: real Ray, two nodes, a real study.

Ray would see the Ray of other tests, so the job runs in a namespace of its own where that is
allowed; elsewhere only the order of its commands is tested, with a `ray` that does nothing.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.support import ROOT, TINY_BACKBONE, write_isic_folder

JOB = str(os.getpid())  # names a port and a folder in /tmp, which other tests must not share
PORT = 20000 + os.getpid() % 10000
PROGRAMS = {
    "scontrol": 'printf "127.0.0.1\\n127.0.0.1\\n"\n',
    # Records its arguments, then runs the command that follows its options, as the real one does.
    "srun": 'echo "$*" >> "$RECORD"\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
}


def job_folder(folder: Path, **programs: str) -> tuple[Path, dict[str, str]]:
    """A copy of the project's folder as the job sees it, and its environment."""
    (folder / "bin").mkdir()
    for name, text in {**PROGRAMS, **programs}.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}")
        (folder / "bin" / name).chmod(0o755)
    project = folder / "project"
    project.mkdir()
    for name in ("masll", "tuning", "ablations"):
        (project / name).symlink_to(ROOT / name)
    env = {
        **os.environ,
        "RECORD": str(folder / "record"),
        "PYTHONPATH": str(project),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(project),
        "SLURM_JOB_ID": JOB,
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_JOB_NODELIST": "localhost,localhost",
        "MASLL_CACHE": str(folder / "cache"),
    }
    return project, env


def start(env: dict[str, str], *options: object, within: str = "") -> subprocess.Popen:
    script = ["bash", str(ROOT / "cluster" / "slurm.sh"), *map(str, options)]
    return subprocess.Popen(
        [*within.split(), *script],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def commands(env: dict[str, str]) -> list[str]:
    """What was given to srun, each line from the command on."""
    lines = Path(env["RECORD"]).read_text().splitlines()
    return [re.sub(r"^(--\S+ )+", "", line) for line in lines]


# A `ray` that stays, as with --block, and a `python` that notes what it is asked to do.
FAKE_RAY = "exec sleep 600\n"
FAKE_PYTHON = """
case "$*" in
    -c*) echo a-token ;;
    "- "*) cat > /dev/null; sleep 0.5 ;;
    *) trap 'echo interrupted >> "$RECORD"; exit 130' INT
       echo "$* | $RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED $(cat "$RAY_AUTH_TOKEN_PATH") \
$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$RECORD"
       for _ in $(seq 100); do [[ -e $RECORD.go ]] && exit 3; sleep 0.1; done ;;
esac
"""


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", ["itself", "the time limit"])
def test_the_job_starts_a_head_then_workers_then_the_search_and_leaves_nothing(ended_by, tmp_path):
    project, env = job_folder(tmp_path, ray=FAKE_RAY, python=FAKE_PYTHON)
    env["SLURM_CPUS_PER_TASK"] = "3"
    job = start(env, "--study", "s", "--preset", "paper")
    record = Path(env["RECORD"])
    for _ in range(200):
        if record.exists() and "tuning.search" in record.read_text():
            break
        time.sleep(0.1)
    if ended_by == "itself":
        Path(f"{record}.go").touch()
    else:
        job.send_signal(signal.SIGTERM)  # Slurm's, to the script only
    _, errors = job.communicate(timeout=300)
    assert job.returncode == (3 if ended_by == "itself" else 130), errors
    head, worker, search, *rest = commands(env)
    assert head.startswith(f"ray start --head --node-ip-address=127.0.0.1 --port={PORT}")
    assert "--include-dashboard=false" in head
    steps = record.read_text().splitlines()[:2]
    assert all("--cpus-per-task=3 " in step for step in steps), "or a step has one core of them"
    assert worker.startswith(f"ray start --address=127.0.0.1:{PORT}")
    assert search.startswith(
        f"-m tuning.search --address 127.0.0.1:{PORT} --study s --preset paper"
    )
    assert search.endswith("| token 0 a-token 600")
    assert rest == ["interrupted"] * (ended_by != "itself") + [f"rm -rf /tmp/ray-{JOB}"]
    assert not list(project.glob(".ray-token-*"))
    left = subprocess.run(["pgrep", "-f", f"{tmp_path}/bin"], capture_output=True, text=True)
    assert left.stdout == ""


NAMESPACES = "unshare --net --mount --pid --fork --kill-child --mount-proc"


@pytest.mark.soak
def test_a_study_runs_in_a_job(tmp_path):
    if (
        os.getuid()
        or subprocess.run([*NAMESPACES.split(), "ip", "link"], capture_output=True).returncode
    ):
        pytest.skip("needs root, unshare and ip: Ray of the job and of other tests must not meet")
    # An address that is not a loopback one, or getent says that the machine has no IPv4.
    _, env = job_folder(tmp_path, scontrol='printf "10.77.0.1\\n10.77.0.1\\n"\n')
    env["RAY_worker_niceness"] = "0"  # Ray gives way to other processes: endless when busy
    isic = write_isic_folder(tmp_path / "isic")
    options = (
        f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 "
        "--trials 1 --epochs 1 --seeds 1 --batch-size 8 --num-gpus 0 "
        "--variants baseline gated-fusion"
    ).split()
    within = tmp_path / "within.sh"
    # As process 1 of its namespace, this shell sees what the job has left, and takes it along.
    within.write_text(
        "mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray\n"  # where Ray notes what is running
        "ip link set lo up && ip address add 10.77.0.1/32 dev lo\n"
        '"$@"\nstatus=$?\n'
        f"ps -eo args= | grep -E '[r]aylet|[g]cs_server' > {tmp_path}/left\nexit $status\n"
    )
    job = start(
        env,
        "--data",
        isic,
        "--study",
        tmp_path / "study",
        *options,
        within=f"{NAMESPACES} bash {within}",
    )
    output, errors = job.communicate(timeout=540)
    assert job.returncode == 0, output + errors
    trials = pd.read_parquet(tmp_path / "study" / "trials")
    assert len(trials) == 4 and set(trials["status"]) == {"completed"}
    assert (tmp_path / "left").read_text() == ""
    assert "at once" in output
