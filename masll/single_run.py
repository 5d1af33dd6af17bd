"""One network trained in this process, epoch by epoch, with what a person sees of it.

What lies in the folder after each epoch is enough to go on to the same weights.
"""

import csv
import dataclasses
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from masll.common.errors import InputError
from masll.common.progress import progress_bar
from masll.common.storage import any_path
from masll.common.times import duration
from masll.config import BEFORE, ModelConfig, TrainConfig
from masll.data.split import Split
from masll.data.store import ImageStore
from masll.model import save_model
from masll.results import UNDEFINED, EpochResult
from masll.states import load_state, save_state
from masll.thresholds import save_validation
from masll.training import Trainer

STATE = "training.pt"  # in the folder of a run that has not ended


@dataclass(frozen=True)
class Question:
    """What a run is asked; it resumes only if it is asked the same."""

    model: ModelConfig
    training: TrainConfig
    fingerprint: str  # of the images
    source_size: int  # side of the stored images, in pixels

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the state of a run keeps them."""
        return {
            "model": self.model.as_dict(),
            "training": dataclasses.asdict(self.training),
            "fingerprint": self.fingerprint,
            "source_size": self.source_size,
        }


def train_one(
    question: Question, store: ImageStore, device: torch.device, folder: Path, *, resume: bool
) -> None:
    """Train to the end; leave epochs.csv and the model of the best epoch in a folder.

    Args:
        resume: whether to go on after the last epoch of the run in the folder.

    Raises:
        InputError: the run in the folder cannot be read or was asked something else, the training
            has diverged, or no epoch has a validation AUC.
    """
    train, validation = store.split("train"), store.split("validation")
    trainer = Trainer(question.model, question.training, train, validation, device)
    results = _earlier(question, trainer, folder) if resume else []
    print(_heading(trainer, train, validation), flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    started, before = time.perf_counter(), trainer.epoch
    while not trainer.done:
        result = _one_epoch(trainer)
        results.append(result)
        spent = time.perf_counter() - started
        left = spent / (trainer.epoch - before) * (question.training.epochs - trainer.epoch)
        print(
            f"epoch {result.epoch:3d} of {question.training.epochs}  loss {result.train_loss:.3f}  "
            f"val {result.val_loss:.3f}  AUC {result.val_auc:.3f}  "
            f"{len(train) / result.seconds:.0f} images/s  {duration(left)} left",
            flush=True,
        )
        _write_epochs(folder / "epochs.csv", results)
        state = {
            "question": question.as_dict(),
            "trainer": trainer.state_dict(),
            "results": [dataclasses.asdict(each) for each in results],
        }
        save_state(any_path(folder / STATE), state)
    if trainer.best is None and not trainer.diverged:
        raise InputError(UNDEFINED)
    if trainer.best is None:
        raise InputError(
            f"training diverged in epoch {trainer.epoch}; lower --lr {question.training.lr}"
        )
    trainer.restore_best()
    save_model(trainer.model, folder)
    if trainer.best_validation is not None:
        save_validation(trainer.best_validation, folder)
    (folder / STATE).unlink(missing_ok=True)  # it has served
    print(
        f"epoch {trainer.best.epoch} was the best, validation AUC {trainer.best.val_auc:.3f}; "
        f"its model is in {folder}"
    )


def _one_epoch(trainer: Trainer) -> EpochResult:
    steps = trainer.steps_per_epoch
    what = f"epoch {trainer.epoch + 1} of {trainer.config.epochs}"
    with progress_bar(what, "steps") as progress:
        return trainer.run_epoch(lambda share: progress(round(share * steps), steps))


def _heading(trainer: Trainer, train: Split, validation: Split) -> str:
    """Network, device and images."""
    config, device = trainer.model.config, trainer.device
    parameters = sum(each.numel() for each in trainer.model.parameters()) / 1e6
    where = f"the CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    elif device.type != "cpu":
        where = str(device)
    return (
        f"{config.variant} on {config.backbone}, {parameters:.1f} M parameters, on {where}\n"
        f"{_counted(train, 'training')}; {_counted(validation, 'validation')}"
    )


def _counted(split: Split, what: str) -> str:
    return f"{len(split)} {what} images, {split.labels.sum()} melanoma"


def _earlier(question: Question, trainer: Trainer, folder: Path) -> list[EpochResult]:
    """The epochs of the run in a folder, after which the trainer goes on."""
    path = folder / STATE
    try:
        state = load_state(any_path(path))
    except Exception as error:  # a spoilt file raises many kinds
        raise InputError(
            f"cannot read {path}: {type(error).__name__}; start again in another folder"
        ) from error
    if _with_later_options(state["question"]) != question.as_dict():
        raise InputError(f"the run in {folder} was asked something else; repeat its options")
    trainer.load_state_dict(state["trainer"])
    return [EpochResult(**row) for row in state["results"]]


def _with_later_options(question: dict[str, Any]) -> dict[str, Any]:
    """What a run was asked, with what it said by not naming options that came later."""
    model = {**ModelConfig().as_dict(), **BEFORE, **question["model"]}
    training = {**dataclasses.asdict(TrainConfig()), **question["training"]}
    return {**question, "model": model, "training": training}


def _write_epochs(path: Path, results: Sequence[EpochResult]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(EpochResult)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(result) for result in results)
    any_path(path).write_whole(text.getvalue())
