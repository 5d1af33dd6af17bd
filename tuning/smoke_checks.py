"""The checks of `python -m tuning.smoke`: each says what was seen, or raises what is wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.config import ModelConfig, TrainConfig
from masll.evaluation import autocast
from masll.localization import crop_and_resize
from masll.model import build_model
from masll.training import Trainer
from masll.variants import VARIANTS
from tuning.packing import noise
from tuning.study.folder import StudyFolder
from tuning.study.reader import TrialReader
from tuning.study.spec import Spec
from tuning.study.trial import Status

_PACKED = 4  # trials on each GPU
_PATIENCE = 300  # seconds that one command of a check may take


class Skipped(Exception):
    """There is nothing here to check it on."""


@dataclass(frozen=True)
class Here:
    """Where the checks run."""

    backbone: str
    image_size: int
    device: torch.device
    gpus: int
    folder: Path  # for studies

    @property
    def small(self) -> str:
        """A network for checks that are not about its size."""
        return "test_resnet" if self.device.type == "cpu" else "resnet18"

    def search(self, study: Path) -> tuple[str, ...]:
        """A small search on drawn lesions, but for its budget."""
        return (
            *("--study", str(study), "--data", "synthetic", "--backbones", self.small),
            *("--no-pretrained", "--image-size", "64", "--scheduler", "none"),
        )

    def need_gpu(self) -> None:
        if self.device.type == "cpu":
            raise Skipped("needs a GPU")


def _driver(here: Here) -> str:
    here.need_gpu()
    names = {torch.cuda.get_device_name(each) for each in range(here.gpus)}
    memory = torch.cuda.get_device_properties(here.device).total_memory / 2**30
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = "unknown"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        driver = found.stdout.split("\n")[0]
    return (
        f"{here.gpus} x {', '.join(sorted(names))}, {memory:.0f} GiB; driver {driver}; PyTorch "
        f"{torch.__version__}, CUDA {torch.version.cuda}"
    )


def _bfloat16(here: Here) -> str:
    here.need_gpu()
    a = torch.randn(512, 512, device=here.device)
    with autocast(here.device):
        product = a @ a
    _require(product.dtype == torch.bfloat16, f"autocast gave {product.dtype}")
    worst = float((product.float() - a @ a).abs().max() / (a @ a).abs().max())
    _require(worst < 0.02, f"a product is off by {worst:.3f} of its largest value")
    return f"a product is off by {worst:.4f} of its largest value"


def _crop(here: Here) -> str:
    images = torch.rand(4, 3, 1024, 1024)
    boxes = torch.tensor([[0, 0, 1024, 1024], [3, 5, 800, 900], [511, 1, 1024, 77], [9, 9, 10, 10]])
    expected = crop_and_resize(images, boxes, 224)
    with torch.autocast(here.device.type, torch.bfloat16):
        crops = crop_and_resize(images.to(here.device), boxes.to(here.device), 224)
    worst = float((crops.cpu() - expected).abs().max())
    _require(worst < 1e-3, f"under autocast a pixel differs from the CPU's by {worst:.4f}")
    return f"under autocast, from 1,024 pixels: at most {worst:.1e} off the CPU's, without it"


def _steps(here: Here) -> str:
    """A step of each variant: the loss, and the gradient of all weights, against the CPU's."""
    worst_loss = worst_angle = 0.0
    images = torch.randn(8, 3, 2 * here.image_size, 2 * here.image_size)
    labels = torch.arange(8) % 2
    for variant in VARIANTS:
        torch.manual_seed(0)
        model = build_model(
            ModelConfig(variant, here.backbone, False, image_size=here.image_size)
        ).eval()  # of batch norm only the weights, which no rounding of a batch's statistics moves
        losses, gradients = [], []
        for device in (torch.device("cpu"), here.device):
            model.to(device).zero_grad()
            with autocast(device):
                out = model(images.to(device))
                loss = torch.nn.functional.cross_entropy(out.logits, labels.to(device))
            loss.backward()
            losses.append(float(loss.detach()))
            flat = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
            gradients.append(torch.cat(flat))
        worst_loss = max(worst_loss, abs(losses[0] - losses[1]))
        cosine = torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0)
        worst_angle = max(worst_angle, 1 - float(cosine))
    _require(worst_loss < 0.05, f"a loss is off by {worst_loss:.3f}")
    _require(worst_angle < 0.05, f"a gradient's cosine with the CPU's is {1 - worst_angle:.3f}")
    return (
        f"{here.backbone}, five variants: loss off by {worst_loss:.4f} at most, gradients' "
        f"cosine {1 - worst_angle:.4f} at least"
    )


def _graphs(here: Here) -> str:
    """Steps recorded as CUDA graphs, against plain ones, by a loss that both come to."""
    here.need_gpu()
    split = noise(90, 2 * here.image_size)
    device = torch.device("cuda", here.gpus - 1)  # of several one that is not the current one
    seconds, losses = [], []
    for plain in (True, False):
        config = ModelConfig(backbone=here.backbone, pretrained=False, image_size=here.image_size)
        training = TrainConfig(epochs=3, lr=1e-4)
        trainer = Trainer(config, training, split, split, device, record_steps=not plain)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # one says that nothing could be recorded
            results = [trainer.run_epoch() for _ in range(3)]
        losses.append(results[-1].train_loss)
        seconds.append(results[-1].seconds)
    difference = abs(losses[0] - losses[1])
    _require(difference < 0.05, f"with graphs, the loss differs by {difference:.3f}")
    return (
        f"gated-fusion on {here.backbone}, three epochs: the loss differs by {difference:.4f}; an "
        f"epoch takes {seconds[1] / seconds[0]:.2f} of the time"
    )


def _compile(here: Here) -> str:
    split = noise(30, 128)
    config = ModelConfig(backbone=here.small, pretrained=False, image_size=64)
    losses = []
    for compiled in (False, True):
        training = TrainConfig(epochs=1, lr=1e-4, compile=compiled)
        trainer = Trainer(config, training, split, split, here.device)
        losses.append(trainer.run_epoch().train_loss)
    difference = abs(losses[0] - losses[1])
    _require(difference < 0.05, f"compiled, the loss differs by {difference:.3f}")
    return f"gated-fusion on {here.small}, an epoch: the loss differs by {difference:.4f}"


def _packed(here: Here) -> str:
    """Four trials on each GPU, the study killed in the middle, and resumed."""
    study = here.folder / "packed"
    trials = max(2, here.gpus * _PACKED // 2)
    shared = ["--gpus-per-trial", str(1 / _PACKED)] if here.gpus else ["--num-gpus", "0"]
    question = ["--trials", str(trials), "--seeds", "1", "--epochs", "3", *shared]
    with _search(
        *here.search(study), "--variants", "baseline", "gated-fusion", *question
    ) as process:
        rows = _wait_for_rows(study, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with _search("--study", str(study), "--resume", *shared) as process:
        _end(process)
    ended = list(TrialReader(StudyFolder(any_path(study)), Spec()).rows())
    expected = 2 * (trials + 1)
    failed = [row.error for row in ended if row.status == Status.FAILED]
    _require(not failed, f"{len(failed)} trials failed: {failed[:1]}")
    _require(len(ended) == expected, f"{len(ended)} rows instead of {expected}")
    places = {(row.node, row.gpu_id) for row in ended}
    _require(not here.gpus or len(places) == here.gpus, f"trials ran on {len(places)} GPUs only")
    share = f"{_PACKED} to a GPU on {here.gpus} GPUs" if here.gpus else "on the CPU"
    return f"{expected} trials, {share}; killed after {rows}, resumed, none lost, none twice"


def _auto(here: Here) -> str:
    here.need_gpu()
    study, one = here.folder / "auto", ["--trials", "1", "--seeds", "1", "--epochs", "1"]
    auto = ["--gpus-per-trial", "auto", "--variants", "gated-fusion", *one]
    with _search(*here.search(study), *auto) as process:
        said = _end(process)
    return next(line for line in said.splitlines() if "on each GPU" in line)


CHECKS: dict[str, Callable[[Here], str]] = {
    "driver": _driver,
    "bfloat16": _bfloat16,
    "crop": _crop,
    "a step against the CPU": _steps,
    "CUDA graphs": _graphs,
    "torch.compile": _compile,
    "packed, killed, resumed": _packed,
    "--gpus-per-trial auto": _auto,
}


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InputError(otherwise)


@contextlib.contextmanager
def _search(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A search in a process group of its own, which is ended with the check."""
    command = [sys.executable, "-m", "tuning.search", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=_PATIENCE)
    last = said.strip().splitlines()[-1:] or ["nothing"]
    _require(process.returncode == 0, f"exit status {process.returncode}: {last[0]}")
    return said


def _wait_for_rows(study: Path, process: "subprocess.Popen[str]") -> int:
    """How many trials have ended, as soon as one has."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        rows = len(list((study / "trials").glob("*.parquet")))
        if rows:
            return rows
        if process.poll() is not None:
            _end(process)
            raise InputError("the study ended before it could be killed")
        time.sleep(0.1)
    raise InputError(f"no trial ended within {_PATIENCE} s")
