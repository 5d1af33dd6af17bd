"""`python -m masll.train`: train one configuration, without Ray."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from masll.backbones import feature_layout
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.options import add_options, option, options_from
from masll.common.storage import any_path
from masll.config import BEFORE, MOST_THREADS, ModelConfig, TrainConfig, default_source_size
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.devices import find_device, keep_freed_memory
from masll.model import find_weights, save_model
from masll.parts import load_part
from masll.results import UNDEFINED, EpochResult
from masll.states import load_state, save_state
from masll.thresholds import save_validation
from masll.training import Trainer

_EPILOG = """\
examples:
  python -m masll.train --out models/first --epochs 3 --image-size 64
      a few minutes on synthetic lesions
  python -m masll.train --data ISIC2017 --backbone densenet121 --out models/d121
  python -m masll.train ... --out models/d121 --resume
      go on after the last finished epoch, to the same weights as if it had never stopped
"""


@dataclass(frozen=True)
class RunOptions(DataOptions):
    """Where a run takes its images from, and where it leaves the model."""

    out: str | None = option(
        None, "folder for the model of the best epoch and epochs.csv", metavar="DIR"
    )
    device: str = option("auto", "auto (the first GPU, or the CPU), cpu, cuda, cuda:1, ...")
    threads: int | None = option(
        None,
        "cores to use on the CPU (default: all; 1 where other runs share the machine)",
        least=1,
        most=MOST_THREADS,
    )
    variant_from: str | None = option(
        None, "file of a fusion or a localizer of your own (docs/parts.md)", metavar="FILE.py"
    )
    resume: bool = option(False, "go on with the run in --out")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m masll.train", description="Train one network.", epilog=_EPILOG)
    for group in (RunOptions, ModelConfig, TrainConfig):
        add_options(parser, group)
    namespace = parser.parse_args(arguments)
    options = options_from(namespace, RunOptions)
    model_config = options_from(namespace, ModelConfig)
    if options.variant_from is not None:
        part = load_part(options.variant_from)
        for kind in part.replaces:
            model_config = model_config.with_part(kind, part)
    train_config = options_from(namespace, TrainConfig)
    if options.out is None:
        raise InputError("--out DIR is needed: the folder that the model goes to")
    folder = Path(options.out)
    any_path(folder).check_writable("--out")
    state_file = folder / "training.pt"
    if not options.resume and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; add --resume, or name another folder")
    if options.resume and not state_file.exists() and (folder / "config.json").exists():
        print(f"the run has ended; its model is in {folder}")
        return 0
    if options.resume and not state_file.exists():
        raise InputError(f"{folder} has no run to resume ({state_file.name} is missing)")
    source_size = options.source_size
    if source_size is None:
        source_size = default_source_size(model_config.image_size)
    if source_size < model_config.image_size:
        raise InputError(f"--source-size {source_size} is below --image-size; make it larger")
    device = find_device(options.device)
    # Refused before images are prepared.
    feature_layout(model_config.backbone, model_config.image_size)
    find_weights(model_config)
    keep_freed_memory()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    store = prepare(options, source_size, for_training=True)
    train, validation = store.split("train"), store.split("validation")
    question = {
        "model": model_config.as_dict(),
        "training": dataclasses.asdict(train_config),
        "fingerprint": store.index["fingerprint"],
        "source_size": source_size,
    }
    trainer = Trainer(model_config, train_config, train, validation, device)
    results: list[EpochResult] = []
    if options.resume:
        try:
            state = load_state(any_path(state_file))
        except Exception as error:  # a spoilt file raises many kinds
            raise InputError(
                f"cannot read {state_file}: {type(error).__name__}; start again in another folder"
            ) from error
        if _with_later_options(state["question"]) != question:
            raise InputError(f"the run in {folder} was asked something else; repeat its options")
        trainer.load_state_dict(state["trainer"])
        results = [EpochResult(**row) for row in state["results"]]
    folder.mkdir(parents=True, exist_ok=True)
    while not trainer.done:
        result = trainer.run_epoch()
        results.append(result)
        print(
            f"epoch {result.epoch:3d} of {train_config.epochs}  loss {result.train_loss:.4f}  "
            f"validation loss {result.val_loss:.4f}  AUC {result.val_auc:.3f}  "
            f"{len(train) / result.seconds:.0f} images/s",
            flush=True,
        )
        _write_epochs(folder / "epochs.csv", results)
        state = {
            "question": question,
            "trainer": trainer.state_dict(),
            "results": [dataclasses.asdict(each) for each in results],
        }
        save_state(any_path(state_file), state)
    if trainer.best is None and not trainer.diverged:
        raise InputError(UNDEFINED)
    if trainer.best is None:
        raise InputError(
            f"training diverged in epoch {trainer.epoch}; lower --lr {train_config.lr}"
        )
    trainer.restore_best()
    save_model(trainer.model, folder)
    if trainer.best_validation is not None:
        save_validation(trainer.best_validation, folder)
    state_file.unlink(missing_ok=True)  # it has served
    print(
        f"epoch {trainer.best.epoch} was the best, validation AUC {trainer.best.val_auc:.3f}; "
        f"its model is in {folder}"
    )
    return 0


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


if __name__ == "__main__":
    run(main)
