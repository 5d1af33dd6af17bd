"""How many trials share a GPU: as many as its memory holds, and as long as another one pays.

Measured once, before a study with `--gpus-per-trial auto`, with the study's largest arm: processes
that train it run side by side on one GPU, one more each time.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import ray
import torch
from ray.util.placement_group import placement_group, remove_placement_group

from masll.common.errors import InputError
from masll.common.machine import peak_memory
from masll.cross_validation import CrossValidator
from masll.data.split import Split
from masll.devices import find_gpu, keep_freed_memory
from masll.model import build_model
from masll.training import Trainer, TrainingRun
from tuning.crowding import is_out_of_memory
from tuning.images import FOLDS
from tuning.options import SearchOptions
from tuning.recipe import Recipe
from tuning.study.arm import Arm

MOST = 8  # processes on a GPU; beyond, the cores beside it are what trials wait for
_PAYS = 1.1  # another process has to raise the images per second by a tenth
_USABLE = 0.9  # share of a GPU's memory, or of the machine's, that trials may fill together
_MEASURED_SECONDS = 5.0
_STEPS = 8  # of an epoch on the images that are measured with


class Measured(NamedTuple):
    """What some processes on one GPU do together."""

    images_per_second: float
    memory: float  # share of the GPU's memory that they take, 0 to 1; 0 on a CPU
    host: float = 0.0  # share that one of them takes of the machine's memory beside the GPU


def best_packing(measure: Callable[[int], Measured | None], most: int = MOST) -> int:
    """The number of trials that share a GPU best.

    Args:
        measure: what so many processes do together, from 1 upwards; None if memory ran out.
        most: not more than so many.

    Raises:
        InputError: memory runs out with a single one.
    """
    alone = measure(1)
    if alone is None:
        raise InputError(
            "the study's largest network does not fit into a GPU's memory; "
            "lower --batch-size or --image-size"
        )
    best, speed = 1, alone.images_per_second
    largest = max(alone.memory, alone.host)
    while best < most and (best + 1) * largest <= _USABLE:
        together = measure(best + 1)
        if together is None or together.memory > _USABLE:
            break
        if together.images_per_second < _PAYS * speed:
            break
        best, speed = best + 1, together.images_per_second
    return best


def largest_arm(arms: Sequence[Arm], recipe: Recipe) -> Arm:
    """The arm whose network has most weights."""
    untrained = dataclasses.replace(recipe, pretrained=False)

    def weights(arm: Arm) -> int:
        model = build_model(untrained.configs(arm)[0])
        return sum(weight.numel() for weight in model.parameters())

    return max(arms, key=weights)


def wait_for_gpu() -> None:
    """Wait until the Ray cluster has a free GPU, which asks it to start a machine with one."""
    group = placement_group([{"GPU": 1, "CPU": 1}])
    ray.get(group.ready())
    remove_placement_group(group)


def measure_packing(options: SearchOptions, arms: Sequence[Arm], cores: int) -> int:
    """The best number of trials on a GPU of the Ray cluster that this process is connected to.

    Args:
        cores: beside the GPU, for all of the processes together.
    """
    # Each has a core at least: a share of memory for one that finds no core would lie idle.
    most = max(1, min(MOST, cores // (options.cpus_per_trial or 1)))
    recipe = options.recipe
    arm = largest_arm(arms, recipe)
    group = placement_group([{"GPU": 1, "CPU": cores}])
    ray.get(group.ready())
    share = 1 / MOST
    beside = _memory_beside_a_gpu()
    crossed = options.validation == "cv5"
    remote = ray.remote(num_gpus=share, num_cpus=cores / MOST)(Probe)
    probes: list[ray.actor.ActorHandle] = []

    def measure(processes: int) -> Measured | None:
        while len(probes) < processes:
            placed = remote.options(placement_group=group)
            probes.append(placed.remote(arm, recipe, max(1, cores // MOST), crossed))
        try:
            ray.get([probe.warm_up.remote() for probe in probes])
            speeds = ray.get([probe.run.remote() for probe in probes])
        # The second: it did not even come to its first epoch.
        except (ray.exceptions.RayTaskError, ray.exceptions.ActorDiedError) as error:
            if is_out_of_memory(str(error)):
                return None
            raise
        return Measured(
            sum(each.images_per_second for each in speeds),
            max(each.memory for each in speeds),
            max(each.host for each in speeds) / beside,
        )

    try:
        return best_packing(measure, most)
    finally:
        for probe in probes:
            ray.kill(probe)
        remove_placement_group(group)


def _memory_beside_a_gpu() -> float:
    """Bytes of memory that each GPU's trials may use, on the machine of the cluster with least."""
    nodes = (node["Resources"] for node in ray.nodes() if node["Alive"])
    shares = [node["memory"] / node["GPU"] for node in nodes if node.get("GPU")]
    return min(shares, default=math.inf)


def noise(images: int, side: int) -> Split:
    """Images of noise, of both classes by turns, for what only the speed is measured of."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, side, side), dtype=np.uint8)
    return Split("train", tuple(map(str, range(images))), np.arange(images) % 2, pixels)


class Probe:
    """A process that trains an arm on noise, to see how fast that goes beside others.

    Args:
        threads: of PyTorch.
        crossed: train a network for each fold at once, as a search trial by cross-validation does.
    """

    def __init__(self, arm: Arm, recipe: Recipe, threads: int, crossed: bool = False) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self.device = self.find_device()
        images = noise(_STEPS * recipe.batch_size, recipe.source_size)
        endless = dataclasses.replace(recipe, pretrained=False, epochs=10**6)
        configs = endless.configs(arm)
        self.training: TrainingRun = (
            CrossValidator(*configs, images, np.arange(len(images)) % FOLDS, self.device)
            if crossed
            else Trainer(*configs, images, images, self.device)
        )

    find_device = staticmethod(find_gpu)

    def warm_up(self) -> None:
        """An epoch that counts for nothing."""
        self.training.run_epoch()

    def run(self) -> Measured:
        """Train for some seconds; `host` is in bytes."""
        started, images = time.perf_counter(), 0
        while time.perf_counter() < started + _MEASURED_SECONDS:
            self.training.run_epoch()
            images += self.training.images_per_epoch
        memory, host = 0.0, float(peak_memory())
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)  # of all processes on it
            memory = 1 - free / total
        return Measured(images / (time.perf_counter() - started), memory, host)
