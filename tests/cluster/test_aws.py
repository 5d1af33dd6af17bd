"""`ray up cluster/config.yaml` as it is, against an AWS that moto plays on this machine.

Only ssh, scp and rsync are replaced, by a script that records its arguments: moto invents public
addresses, and nothing may try to reach them.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")

CONFIG = ROOT / "cluster" / "config.yaml"
HERE = Path(__file__).parent
IMAGE = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260721"
BUCKET = "lesions-of-a-test"
ADDRESS = "203.0.113.7/32"


class Aws:
    """A folder of a user with an empty account, and the commands that this user types."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.record, self.refused = folder / "record", folder / "refused"
        home, programs = folder / "home", folder / "bin"
        (home / ".ray").mkdir(parents=True)
        (home / ".ray" / "auth_token").write_text("a-token-of-a-test")
        programs.mkdir()
        for program in ("ssh", "scp", "rsync"):
            (programs / program).symlink_to(HERE / "recorded.sh")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "HOME": str(home),
            "TMPDIR": str(folder),
            "RECORD": str(self.record),
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{HERE / 'only_loopback'}:{ROOT}",
            "REFUSED": str(self.refused),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.endpoint = endpoint
        # What a user must edit: config.yaml names no bucket and no address of anybody's.
        self.config = folder / "config.yaml"
        text = CONFIG.read_text().replace("masll-CHANGE-ME", BUCKET)
        self.config.write_text(text.replace("YOUR-ADDRESS/32", ADDRESS))

    def client(self, service: str, region: str = "us-east-1"):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def run(self, *command: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            env=self.env,
            text=True,
            capture_output=True,
            timeout=300,
        )

    def setup(self, do: str, *options: object) -> subprocess.CompletedProcess:
        config = () if "--config" in options else ("--config", self.config)
        return self.run(sys.executable, "cluster/aws.py", do, *config, *options)

    def ray(self, *command: object) -> str:
        result = self.run(sys.executable, "-m", "ray.scripts.scripts", *command)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def nodes(self) -> list[dict]:
        pages = self.client("ec2").describe_instances()["Reservations"]
        return [node for page in pages for node in page["Instances"]]

    def recorded(self, program: str) -> list[list[str]]:
        calls = self.record.read_text().split("\036")[:-1]
        return [c for call in calls if (c := call.split("\037")[:-1])[0] == program]

    def typed(self) -> list[str]:
        """The commands that would have run on the node, in order."""
        return [call[-1] for call in self.recorded("ssh")]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moto")
    images = folder / "images.json"
    keys = {
        "owner_id": "898082745236",
        "architecture": "x86_64",
        "virtualization_type": "hvm",
        "root_device_name": "/dev/sda1",
        "root_device_type": "ebs",
        "public": True,
        "state": "available",
        "hypervisor": "xen",
        "image_type": "machine",
        "image_location": "amazon",
        "sriov": "simple",
        "description": "",
    }
    names = {"ami-0123456789abcdef0": IMAGE, "ami-00000000000000000": IMAGE[:-8] + "20250101"}
    images.write_text(json.dumps([{"ami_id": i, "name": n, **keys} for i, n in names.items()]))
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
            env={**os.environ, "MOTO_AMIS_PATH": str(images), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()):
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        assert found, log.read_text()
        yield found[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def up(endpoint, tmp_path_factory):
    """A user's cluster after `ray up`."""
    aws = Aws(tmp_path_factory.mktemp("aws"), endpoint)
    created = aws.setup("create")
    assert created.returncode == 0, created.stderr
    aws.ray("up", aws.config, "-y")
    return aws


@pytest.mark.soak
def test_the_head_is_what_the_file_says(up):
    (head,) = up.nodes()
    assert head["State"]["Name"] == "running"
    assert head["InstanceType"] == "m6i.xlarge"
    assert head["ImageId"] == "ami-0123456789abcdef0"  # found by the pinned name
    assert head["IamInstanceProfile"]["Arn"].endswith("instance-profile/masll-lab-head")
    assert head["KeyName"] == "masll-lab"
    (disk,) = up.client("ec2").describe_volumes()["Volumes"]
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (200, "gp3", True)
    assert head["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"]
    for tags in (head["Tags"], disk["Tags"]):
        assert {"Key": "project", "Value": "masll-lab"} in tags
    named = {tag["Key"]: tag["Value"] for tag in head["Tags"]}
    assert named["ray-cluster-name"] == "masll" and named["ray-node-type"] == "head"
    assert named["ray-node-status"] == "up-to-date"


@pytest.mark.soak
def test_only_ssh_is_open_and_only_to_the_addresses_of_the_file(up):
    (head,) = up.nodes()
    ids = [group["GroupId"] for group in head["SecurityGroups"]]
    (group,) = up.client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]
    assert opened(group) == [("tcp", 22, 22, ADDRESS)]
    assert members(group) == ids
    start = next(command for command in up.typed() if "ray start" in command)
    assert "--dashboard-host=127.0.0.1" in start


def opened(group: dict) -> list[tuple]:
    """What a security group lets in from outside: protocol, first and last port, addresses."""
    return [
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], *each.values())
        for rule in group["IpPermissions"]
        for each in rule["IpRanges"] + rule["Ipv6Ranges"] + rule["PrefixListIds"]
    ]


def members(group: dict) -> list[str]:
    pairs = [pair for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    return [pair["GroupId"] for pair in pairs]


@pytest.mark.slow
def test_another_address_takes_the_place_of_the_first_also_in_a_group_open_to_the_world(
    endpoint, tmp_path
):
    aws = Aws(tmp_path, endpoint)
    region = "eu-west-3"
    text = aws.config.read_text().replace("us-east-1", region)
    text = text.replace(BUCKET, f"{BUCKET}-{region}")
    ec2 = aws.client("ec2", region)
    group_id = ec2.create_security_group(GroupName="masll-lab", Description="by Ray")["GroupId"]
    world = [{"CidrIp": "0.0.0.0/0"}]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": world}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[rule])
    for address in (ADDRESS, ADDRESS, "198.51.100.0/24"):
        aws.config.write_text(text.replace(ADDRESS, address))
        created = aws.setup("create")
        assert created.returncode == 0, created.stderr
        assert f"port 22 from {address}" in created.stdout
        (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        assert opened(group) == [("tcp", 22, 22, address)] and members(group) == [group_id]
    assert aws.setup("delete").returncode == 0


@pytest.mark.soak
def test_every_command_on_the_node_is_the_one_in_the_file_and_in_its_order(up):
    config = yaml.safe_load(up.config.read_text())
    wanted = config["setup_commands"] + config["head_start_ray_commands"]
    typed = up.typed()
    places = []
    for command in wanted:
        quoted = command.replace("'", "'\"'\"'")  # how Ray's shlex.quote wraps it
        places.append(next(i for i, line in enumerate(typed) if quoted in line))
    assert places == sorted(places)
    assert len([line for line in typed if "pip install" in line or "ray " in line]) >= 3


@pytest.mark.soak
def test_nothing_floats_no_statistics_and_a_token_everywhere(up):
    for line in up.typed():
        for install in re.findall(r"pip install[^&|;]*", line):
            assert "--constraint constraints.txt" in install
        if "ray start" in line:
            asked = line[: line.index("ray start")]
            assert "RAY_AUTH_MODE=token" in asked
            # The last one wins: Ray itself puts one in front, after the settings of the laptop.
            assert re.findall(r"RAY_USAGE_STATS_ENABLED=(\d)", asked)[-1] == "0"
    sent = {call[-1].split(":", 1)[1]: call[-2] for call in up.recorded("rsync")}
    assert Path(sent["~/.ray/auth_token"]).read_text() == "a-token-of-a-test"
    assert sent["~/masll-lab/constraints.txt"] == "constraints.txt"
    assert {"~/masll-lab/masll/", "~/masll-lab/tuning/", "~/masll-lab/ablations/"} < set(sent)
    assert all("__pycache__" in call for call in up.recorded("rsync"))
    assert f"BUCKET=s3://{BUCKET} " in " ".join(up.typed())
    # What the head passes on to the workers: its own copies, and the same start commands.
    bootstrap = next(call[-2] for call in up.recorded("rsync") if "bootstrap_config" in call[-1])
    assert bootstrap.startswith(str(up.record.parent))
    assert not up.refused.exists(), up.refused.read_text()


def test_workers_are_started_with_the_token_without_statistics_on_both_markets():
    config = yaml.safe_load(CONFIG.read_text())
    start = next(c for c in config["worker_start_ray_commands"] if "ray start" in c)
    assert "RAY_AUTH_MODE=token" in start and "RAY_USAGE_STATS_ENABLED=0" in start
    types = config["available_node_types"]
    spot, on_demand = types["gpu-spot"], types["gpu-on-demand"]
    assert spot["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in on_demand["node_config"]
    assert spot["priority"] > on_demand.get("priority", 0)
    for kind in (spot, on_demand):
        assert kind["min_workers"] == 0 and kind["resources"] == {"CPU": 4, "GPU": 1}
        assert kind["node_config"]["IamInstanceProfile"] == {"Name": "masll-lab-worker"}
        assert kind["node_config"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] >= 100
    assert types["head"]["resources"] == {"CPU": 0}


@pytest.mark.soak
def test_back_to_nothing(up):
    """Runs last: `ray down`, then what `create` and Ray have made."""
    left = up.setup("check")
    assert left.returncode == 1 and "(m6i.xlarge) is running" in left.stdout
    refused = up.setup("delete")
    assert refused.returncode == 2 and "ray down cluster/config.yaml" in refused.stderr
    up.ray("down", up.config, "-y")
    assert {node["State"]["Name"] for node in up.nodes()} == {"terminated"}
    left = up.setup("check")
    assert (left.returncode, left.stdout) == (0, "nothing is running in us-east-1\n")
    deleted = up.setup("delete")
    assert deleted.returncode == 0, deleted.stderr
    ec2, iam = up.client("ec2"), up.client("iam")
    assert not ec2.describe_volumes()["Volumes"]
    assert not ec2.describe_key_pairs()["KeyPairs"]
    assert not ec2.describe_launch_templates()["LaunchTemplates"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    assert {group["GroupName"] for group in groups} == {"default"}
    assert not iam.list_instance_profiles()["InstanceProfiles"]
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    assert not any(name.startswith("masll-lab") for name in roles)
    assert not list(Path(up.env["HOME"]).glob(".ssh/*"))
    buckets = up.client("s3").list_buckets()["Buckets"]
    assert BUCKET in [bucket["Name"] for bucket in buckets]


@pytest.mark.soak
def test_create_in_another_region_twice_and_a_worker_may_only_use_the_bucket(endpoint, tmp_path):
    aws = Aws(tmp_path, endpoint)
    text = aws.config.read_text().replace("us-east-1", "eu-central-1")
    aws.config.write_text(text.replace(BUCKET, f"{BUCKET}-eu"))
    for _ in range(2):
        created = aws.setup("create")
        assert created.returncode == 0, created.stderr
    assert f"launch template  masll-lab: ami-0123456789abcdef0, {IMAGE}" in created.stdout
    policy = aws.client("iam").get_role_policy(RoleName="masll-lab-worker", PolicyName="masll-lab")
    statements = policy["PolicyDocument"]["Statement"]
    assert {s["Resource"] for s in statements} == {
        f"arn:aws:s3:::{BUCKET}-eu",
        f"arn:aws:s3:::{BUCKET}-eu/*",
    }
    assert aws.setup("delete").returncode == 0


@pytest.mark.slow
def test_a_bucket_or_an_image_that_is_not_there_is_one_line(endpoint, tmp_path):
    aws = Aws(tmp_path, endpoint)
    none = aws.setup("create", "--config", CONFIG)
    assert none.returncode == 2 and "names no bucket" in none.stderr
    edited = aws.config.read_text()
    aws.config.write_text(edited.replace(ADDRESS, "YOUR-ADDRESS/32"))
    none = aws.setup("create")
    assert none.returncode == 2 and "names no addresses that may reach port 22" in none.stderr
    assert none.stderr.count("\n") == 1
    aws.config.write_text(edited)
    other = aws.setup("create", "--image", IMAGE[:-8] + "20990101")
    assert other.returncode == 2 and f"there is --image '{IMAGE}'" in other.stderr
