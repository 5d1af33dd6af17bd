"""`python -m masll.train`: train one configuration, without Ray."""

from dataclasses import dataclass
from pathlib import Path

from masll.common.command import Parser, command_line, run
from masll.common.errors import InputError
from masll.common.options import add_options, option, options_from
from masll.common.outputs import check_output
from masll.common.storage import local_path
from masll.config import MOST_THREADS, ModelConfig, TrainConfig, default_source_size
from masll.data.options import DataOptions
from masll.parts import load_part

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
        None,
        "folder for the model of the best epoch and epochs.csv (required)",
        metavar="DIR",
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
    folder = local_path(options.out, "--out")
    check_output(folder, "--out")
    state_file = folder / "training.pt"
    if not options.resume and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; add --resume, or name another folder")
    if options.resume and not state_file.exists() and (folder / "config.json").exists():
        print(f"the run has ended; its model is in {folder}")
        return 0
    resumes = state_file.exists()
    if options.resume and not resumes and not _was_killed_in_epoch_1(folder):
        raise InputError(f"{folder} has no run to resume ({state_file.name} is missing)")
    source_size = options.source_size
    if source_size is None:
        source_size = default_source_size(model_config.image_size)
    if source_size < model_config.image_size:
        raise InputError(f"--source-size {source_size} is below --image-size; make it larger")
    print("importing PyTorch", flush=True)  # which takes seconds
    from masll.backbones import feature_layout
    from masll.data.prepare import prepare
    from masll.devices import find_device, keep_freed_memory
    from masll.model import find_weights
    from masll.single_run import Question, train_one

    device = find_device(options.device)
    # Refused before images are prepared.
    feature_layout(model_config.backbone, model_config.image_size)
    find_weights(model_config)
    keep_freed_memory()
    if options.threads is not None:
        import torch

        torch.set_num_threads(options.threads)
    store = prepare(options, source_size, for_training=True)
    question = Question(model_config, train_config, store.index["fingerprint"], source_size)
    train_one(question, store, device, folder, resume=resumes)
    print(f"to use it: {command_line('masll.predict', '--model', folder)} IMAGE")
    return 0


def _was_killed_in_epoch_1(folder: Path) -> bool:
    """Whether there is nothing but what a run leaves before it can be resumed: it begins again."""
    left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(left) and left <= {"epochs.csv", ".epochs.csv.partial", ".training.pt.partial"}


if __name__ == "__main__":
    run(main)
