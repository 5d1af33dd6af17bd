"""The cluster files as Ray and Kubernetes read them, without a cluster."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.support import ROOT

CLUSTER = ROOT / "cluster"


def load(name: str) -> dict:
    return yaml.safe_load((CLUSTER / name).read_text())


@pytest.mark.parametrize("name", ["config.yaml", "onprem.yaml"])
def test_ray_accepts_the_file(name):
    config = load(name)
    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    jsonschema.validate(config, json.loads(schema.read_text()))
    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("name", ["config.yaml", "onprem.yaml"])
def test_every_node_gets_the_project_the_pins_and_the_token(name):
    config = load(name)
    mounts = config["file_mounts"]
    assert mounts["~/.ray/auth_token"] == "~/.ray/auth_token"
    for path in ("masll", "tuning", "ablations", "pyproject.toml", "constraints.txt"):
        assert mounts[f"~/masll-lab/{path}"] == path
        assert (ROOT / path).exists()
    installs = [c for c in config["setup_commands"] if "pip install" in c]
    assert installs and all("--constraint constraints.txt" in command for command in installs)
    for kind in ("head", "worker"):
        (start,) = [c for c in config[f"{kind}_start_ray_commands"] if "ray start" in c]
        assert "RAY_AUTH_MODE=token" in start and "RAY_USAGE_STATS_ENABLED=0" in start
        assert "0.0.0.0" not in start


@pytest.mark.parametrize("name", ["config.yaml", "onprem.yaml", "kuberay.yaml"])
def test_no_file_names_a_real_host_or_bucket(name):
    text = (CLUSTER / name).read_text()
    assert text.count("s3://") == text.count("s3://masll-CHANGE-ME")
    assert "ami-" not in text


# The fields of ray.io/v1 in "KubeRay CRD API reference", KubeRay v1.6.2, in Ray's documentation
# (docs.ray.io/en/master/cluster/kubernetes/references/api.html) and docs/reference/api.md of
# ray-project/kuberay; of RayCluster those of the parts that the file has.
FIELDS = {
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "RayJobSpec": {
        "activeDeadlineSeconds",
        "backoffLimit",
        "clusterSelector",
        "deletionStrategy",
        "entrypoint",
        "entrypointNumCpus",
        "entrypointNumGpus",
        "entrypointResources",
        "jobId",
        "managedBy",
        "metadata",
        "rayClusterSpec",
        "runtimeEnvYAML",
        "shutdownAfterJobFinishes",
        "submissionMode",
        "submitterConfig",
        "submitterPodTemplate",
        "suspend",
        "ttlSecondsAfterFinished",
    },
    "RayClusterSpec": {
        "authOptions",
        "autoscalerOptions",
        "enableInTreeAutoscaling",
        "gcsFaultToleranceOptions",
        "headGroupSpec",
        "headServiceAnnotations",
        "managedBy",
        "rayVersion",
        "suspend",
        "workerGroupSpecs",
    },
    "AuthOptions": {"mode", "secretName", "enableK8sTokenAuth"},
    "AutoscalerOptions": {
        "env",
        "envFrom",
        "idleTimeoutSeconds",
        "image",
        "imagePullPolicy",
        "resources",
        "securityContext",
        "upscalingMode",
        "version",
        "volumeMounts",
    },
    "HeadGroupSpec": {"enableIngress", "headService", "rayStartParams", "serviceType", "template"},
    "WorkerGroupSpec": {
        "groupName",
        "idleTimeoutSeconds",
        "maxReplicas",
        "minReplicas",
        "numOfHosts",
        "rayStartParams",
        "replicas",
        "scaleStrategy",
        "suspend",
        "template",
    },
}


def test_kuberay_knows_every_field_of_the_job():
    job = load("kuberay.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    parts = [
        ("RayJob", job),
        ("RayJobSpec", job["spec"]),
        ("RayClusterSpec", cluster),
        ("AuthOptions", cluster["authOptions"]),
        ("AutoscalerOptions", cluster["autoscalerOptions"]),
        ("HeadGroupSpec", cluster["headGroupSpec"]),
        *(("WorkerGroupSpec", group) for group in cluster["workerGroupSpecs"]),
    ]
    for kind, part in parts:
        assert set(part) <= FIELDS[kind], kind
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["autoscalerOptions"]["version"] in ("v1", "v2")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_job_ends_its_cluster_and_its_pods_have_what_they_need():
    spec = load("kuberay.yaml")["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec["shutdownAfterJobFinishes"] and spec["backoffLimit"] == 0
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (0, 8)
    for template in (cluster["headGroupSpec"]["template"], workers["template"]):
        (container,) = template["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert not container["image"].endswith(":latest") and ":" in container["image"]
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert f"ray:{ray.__version__}-" in (CLUSTER / "Dockerfile").read_text()


@pytest.mark.parametrize(
    "script", ["cluster/slurm.sh", "tests/cluster/host.sh", "tests/cluster/two_hosts.sh"]
)
def test_shellcheck_finds_nothing(script):
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of the dev extra
    result = subprocess.run([shellcheck, ROOT / script], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
