"""One trial after another in one worker process: Ray Tune's class API, with the actor reused.

A worker maps the images and imports PyTorch once; from then on a new trial costs a new model. Who
only names the class, as the driver does, need not import PyTorch.
"""

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from masll.common.errors import InputError
from masll.data.store import ImageStore
from tuning.images import StudyImages, read_images
from tuning.job import Job
from tuning.node_store import open_here
from tuning.study.spec import read_spec
from tuning.trial_report import Held, Node

if TYPE_CHECKING:
    from tuning.trial_run import TrialRun

REPORT = "report"  # the key under which a result of Tune carries a TrialReport, or a Held
_HELD_SECONDS = 2.0  # between two reports of a worker that stands idle


class TrialWorker(tune.Trainable):
    """Runs the trial that its config describes, one epoch a step.

    The config has `job`, `trial`, `gpus`, the share of a GPU, and `left_out`: places whose workers
    stand idle, so that Ray gives no trial a GPU that is broken.
    """

    run: "TrialRun | None" = None

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        from masll.devices import keep_freed_memory

        job: Job = config["job"]
        torch.set_num_threads(job.threads)
        keep_freed_memory()
        self.store = _store_here(job)
        self.images = _images_here(job)
        self.node = _node_here()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial, which begins with its first step.

        Not before: while a worker starts, Tune may give its trial to one that has become free.
        """
        self.cleanup()
        self.asked = new_config
        return True

    def step(self) -> dict[str, Any]:
        if str(self.node) in self.asked["left_out"]:
            time.sleep(_HELD_SECONDS)
            return {"done": False, REPORT: Held(str(self.node))}
        if self.run is None:
            from tuning.trial_run import TrialRun

            job, trial, gpus = (self.asked[name] for name in ("job", "trial", "gpus"))
            self.run = TrialRun(job, trial, self.store, self.images, self.node, gpus)
        report = self.run.step()
        return {"done": report.done, REPORT: report}

    def cleanup(self) -> None:
        """The trial has ended or is stopped: its network goes before another takes its place."""
        if self.run is not None:
            self.run.close()
        self.run = None


def ray_node_id() -> str | None:
    """Ray's name for this machine; None without Ray."""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else None


def _store_here(job: Job) -> ImageStore:
    """The study's images on this node: the driver has compared those of its own."""
    if ray_node_id() == job.node_id:
        return ImageStore(Path(job.store))
    return open_here(job.data, job.fingerprint)


def _images_here(job: Job) -> StudyImages:
    """The study's choice of images, from its folder as this node sees it.

    Raises:
        InputError: this node does not see it.
    """
    try:
        return read_images(job.folder, read_spec(job.folder))
    except InputError as error:
        raise InputError(
            f"node {platform.node()}: {error}; the study of a cluster lies in a "
            "folder that all nodes share, or on s3://"
        ) from error


def _node_here() -> Node:
    """The machine of this worker, by its name in the cluster if it has one, and its GPU."""
    if not ray.is_initialized():
        return Node(platform.node())
    context = ray.get_runtime_context()
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    named = here["NodeName"] != here["NodeManagerAddress"]
    gpus = context.get_accelerator_ids()["GPU"]
    return Node(here["NodeName"] if named else platform.node(), ",".join(gpus) or None)
