"""What config.yaml needs in an AWS account before `ray up`, and what is left after `ray down`.

`create` makes a bucket, a launch template with the pinned image, two roles that may do no more than
their nodes need, and a security group that lets in your addresses alone; `check` lists everything
of this cluster that still costs money; `delete` removes what `create` and Ray have made, but the
bucket. Region, addresses and bucket stand in config.yaml.
"""

import contextlib
import ipaddress
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import ClientError

from masll.common.command import Parser, run
from masll.common.errors import InputError

NAME = "masll-lab"  # of all that is made here, and the value of the tag `project`
# NVIDIA driver 595 (CUDA 13 needs 580), Ubuntu 24.04, Python 3.12. The date is part of the name,
# and the image has the same name in every region.
IMAGE = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260721"
CONFIG = Path(__file__).with_name("config.yaml")
_TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


class Account:
    """An AWS account in the region of a cluster."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.cluster = config["cluster_name"]
        self.region = config["provider"]["region"]
        self.bucket = _bucket(config)
        self.config = config
        session = boto3.Session(region_name=self.region)
        self.ec2, self.iam, self.s3 = (session.client(name) for name in ("ec2", "iam", "s3"))
        self.account = session.client("sts").get_caller_identity()["Account"]

    def create(self, image: str = IMAGE) -> Iterator[str]:
        """Make what is missing, and say what there is; a second time makes nothing.

        Raises:
            InputError: config.yaml names no addresses to let in, or the image is not there.
        """
        ranges = _ssh_ranges(self.config)
        location = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        settings = {"CreateBucketConfiguration": location} if location else {}
        with _already("BucketAlreadyOwnedByYou"):
            self.s3.create_bucket(Bucket=self.bucket, **settings)
        yield f"bucket           s3://{self.bucket}"
        image_id = self._image_id(image)
        with _already("InvalidLaunchTemplateName.AlreadyExistsException"):
            self.ec2.create_launch_template(
                LaunchTemplateName=NAME, LaunchTemplateData={"ImageId": image_id}
            )
        if (there := self._launch_template_image()) != image_id:
            raise InputError(
                f"launch template {NAME} holds the image {there}, not {image_id}; "
                "python cluster/aws.py delete, then create"
            )
        yield f"launch template  {NAME}: {image_id}, {image}"
        for role, policy in self._policies().items():
            with _already("EntityAlreadyExists"):
                self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=_policy(_TRUST))
            self.iam.put_role_policy(RoleName=role, PolicyName=NAME, PolicyDocument=policy)
            with _already("EntityAlreadyExists"):
                self.iam.create_instance_profile(InstanceProfileName=role)
            with _already("LimitExceeded"):  # a profile holds one role, and has this one
                self.iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
            yield f"instance profile {role}"
        for vpc in self.ec2.describe_vpcs()["Vpcs"]:  # Ray chooses one by its subnets
            self._make_group(vpc["VpcId"], ranges)
            yield f"security group   {NAME} in {vpc['VpcId']}: port 22 from {', '.join(ranges)}"
        # An account's first spot request needs this role, which AWS makes by itself only when asked
        # through its console.
        with _already("InvalidInput", "EntityAlreadyExists"):
            self.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")

    def running(self) -> Iterator[str]:
        """What costs money by the hour: nodes and disks, also those that `ray down` left behind."""
        for filters in ({"tag:ray-cluster-name": self.cluster}, {"tag:project": NAME}):
            wanted = _filters(filters)
            for page in self.ec2.get_paginator("describe_instances").paginate(Filters=wanted):
                for node in (n for r in page["Reservations"] for n in r["Instances"]):
                    if node["State"]["Name"] not in ("terminated", "shutting-down"):
                        state = node["State"]["Name"]
                        yield f"node {node['InstanceId']} ({node['InstanceType']}) is {state}"
        wanted = _filters({"tag:project": NAME})
        for page in self.ec2.get_paginator("describe_volumes").paginate(Filters=wanted):
            for disk in page["Volumes"]:
                if disk["State"] != "deleting":
                    yield f"disk {disk['VolumeId']} ({disk['Size']} GB) is {disk['State']}"

    def delete(self) -> Iterator[str]:
        """Remove all but the bucket.

        Raises:
            InputError: nodes of the cluster are still there.
        """
        if running := sorted(set(self.running())):
            raise InputError(f"{'; '.join(running)}; first: ray down cluster/config.yaml")
        for role in self._policies():
            with _already("NoSuchEntity"):
                self.iam.remove_role_from_instance_profile(InstanceProfileName=role, RoleName=role)
            with _already("NoSuchEntity"):
                self.iam.delete_instance_profile(InstanceProfileName=role)
            with _already("NoSuchEntity"):
                self.iam.delete_role_policy(RoleName=role, PolicyName=NAME)
            with _already("NoSuchEntity"):
                self.iam.delete_role(RoleName=role)
            yield f"deleted role and instance profile {role}"
        with _already("InvalidLaunchTemplateName.NotFoundException"):
            self.ec2.delete_launch_template(LaunchTemplateName=NAME)
            yield f"deleted launch template {NAME}"
        groups = self.ec2.describe_security_groups(Filters=_filters({"group-name": NAME}))
        for group in groups["SecurityGroups"]:
            self._delete_group(group["GroupId"])
            yield f"deleted security group {NAME}"
        self.ec2.delete_key_pair(KeyName=NAME)
        key = Path(f"~/.ssh/{NAME}.pem").expanduser()
        key.unlink(missing_ok=True)
        yield f"deleted key pair {NAME} and {key}"
        yield f"s3://{self.bucket} is left, with your data and studies"

    def _image_id(self, name: str) -> str:
        settings = {"Owners": ["amazon"], "Filters": _filters({"name": name})}
        if images := self.ec2.describe_images(**settings)["Images"]:
            return images[0]["ImageId"]
        family = name.rsplit(" ", 1)[0]
        settings["Filters"] = _filters({"name": f"{family} *"})
        others = sorted(image["Name"] for image in self.ec2.describe_images(**settings)["Images"])
        newest = f"; there is --image '{others[-1]}'" if others else ""
        raise InputError(f"no image '{name}' in {self.region}{newest}")

    def _launch_template_image(self) -> str:
        versions = self.ec2.describe_launch_template_versions(
            LaunchTemplateName=NAME, Versions=["$Default"]
        )
        return versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"]

    def _make_group(self, vpc: str, ranges: list[str]) -> None:
        """A group whose members reach each other, with port 22 open to the ranges alone."""
        wanted = _filters({"group-name": NAME, "vpc-id": vpc})
        if not (found := self.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]):
            self.ec2.create_security_group(
                GroupName=NAME, Description="Nodes of MASLL Lab's cluster", VpcId=vpc
            )
            found = self.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
        group, rules = found[0]["GroupId"], found[0]["IpPermissions"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        there = {
            each["CidrIp"]
            for rule in rules
            if ssh.items() <= rule.items()
            for each in rule["IpRanges"]
        }
        change = {"GroupId": group}
        if other := sorted(there - set(ranges)):
            old = {**ssh, "IpRanges": [{"CidrIp": each} for each in other]}
            self.ec2.revoke_security_group_ingress(**change, IpPermissions=[old])
        if missing := sorted(set(ranges) - there):
            new = {**ssh, "IpRanges": [{"CidrIp": each} for each in missing]}
            self.ec2.authorize_security_group_ingress(**change, IpPermissions=[new])
        if not any(rule["UserIdGroupPairs"] for rule in rules):
            members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
            self.ec2.authorize_security_group_ingress(**change, IpPermissions=[members])

    def _delete_group(self, group: str) -> None:
        for _ in range(30):  # AWS holds on to it for a while after its last node has gone
            try:
                self.ec2.delete_security_group(GroupId=group)
                return
            except ClientError as error:
                if error.response["Error"]["Code"] != "DependencyViolation":
                    raise
                time.sleep(5)
        raise InputError(f"security group {group} is still in use; try again in a minute")

    def _policies(self) -> dict[str, str]:
        """What each role may do: workers use the bucket; the head also starts and ends workers."""
        arn = f"arn:aws:s3:::{self.bucket}"
        bucket: list[dict[str, Any]] = [
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
                "Resource": arn,
            },
            {
                "Effect": "Allow",
                "Resource": f"{arn}/*",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                ],
            },
        ]
        own = {"StringEquals": {"aws:ResourceTag/ray-cluster-name": self.cluster}}
        nodes: list[dict[str, Any]] = [
            {
                "Effect": "Allow",
                "Resource": "*",
                "Action": [
                    "ec2:DescribeInstances",
                    "ec2:DescribeInstanceTypes",
                    "ec2:RunInstances",
                ],
            },
            {
                "Effect": "Allow",
                "Resource": "*",
                "Action": "ec2:CreateTags",
                "Condition": {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
            },
            {
                "Effect": "Allow",
                "Resource": "*",
                "Condition": own,
                "Action": ["ec2:TerminateInstances", "ec2:CreateTags"],
            },
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": f"arn:aws:iam::{self.account}:role/{NAME}-worker",
            },
        ]
        return {f"{NAME}-head": _policy(*bucket, *nodes), f"{NAME}-worker": _policy(*bucket)}


@contextlib.contextmanager
def _already(*codes: str) -> Iterator[None]:
    """Passes over the error that says that it has been done before."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def _filters(wanted: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [value]} for name, value in wanted.items()]


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _bucket(config: dict[str, Any]) -> str:
    """The name in the one line of config.yaml that has it."""
    for command in config["setup_commands"]:
        if found := re.search(r"BUCKET=s3://([a-z0-9.-]+)(?= )", command):
            return found[1]
    raise InputError(f"{CONFIG} names no bucket; put yours in the place of s3://masll-CHANGE-ME")


def _ssh_ranges(config: dict[str, Any]) -> list[str]:
    """The addresses that config.yaml lets in on port 22."""
    rules = config["provider"]["security_group"]["IpPermissions"]
    named = [each["CidrIp"] for rule in rules for each in rule["IpRanges"]]
    try:
        return [str(ipaddress.IPv4Network(each, strict=False)) for each in named or [""]]
    except ValueError as error:
        raise InputError(
            f"{CONFIG} names no addresses that may reach port 22: {error}; put yours in the place "
            "of YOUR-ADDRESS/32, such as 203.0.113.7/32"
        ) from error


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python cluster/aws.py", description=__doc__)
    parser.add_argument("do", choices=("create", "check", "delete", "bucket"))
    parser.add_argument("--image", default=IMAGE, help="name of another image, for create")
    parser.add_argument("--config", default=CONFIG, type=Path, help="instead of config.yaml")
    given = parser.parse_args(arguments)
    config = yaml.safe_load(given.config.read_text())
    if given.do == "bucket":
        print(f"s3://{_bucket(config)}")
        return 0
    account = Account(config)
    if given.do == "check":
        left = sorted(set(account.running()))
        print("\n".join(left) or f"nothing is running in {account.region}")
        return 1 if left else 0
    for line in account.create(given.image) if given.do == "create" else account.delete():
        print(line)
    return 0


if __name__ == "__main__":
    run(main)
