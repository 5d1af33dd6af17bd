"""`python -m tuning.search`: search every arm, confirm its best over seeds, print the ablation.

The command line, and the files that take its place; `study_run` does the work.
"""

import argparse
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masll.common.checks import suggestion
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.options import add_options
from masll.common.storage import any_path
from masll.data.synthetic_source import WORDS as SYNTHETIC
from tuning.options import SearchOptions, resolve
from tuning.tables import read_config

_DESCRIPTION = """\
Search hyperparameters with the same budget for every arm (a variant on a backbone), retrain each
arm's best over several seeds, open the test set once, and print the ablation table."""

_EPILOG = """\
examples:
  python -m tuning.search
      the demo preset on synthetic lesions: five arms in a few minutes on a laptop
  python -m tuning.search --data ISIC2017 --backbones efficientnet_lite0 --image-size 96 \\
      --trials 3 --epochs 2 --seeds 2
      a first look at real images
  python -m tuning.search --data ISIC2017 --preset paper --num-gpus 8 --study studies/paper
      the paper's setting on a server
  python -m tuning.search --study studies/paper --resume
      go on with a study that was stopped; python -m tuning.status studies/paper looks on
  python -m tuning.search --config studies/paper/spec.json --seeds 10 --name ten-seeds
      what another study was asked, or a TOML file of options, but for what is given beside it
      (python -m tuning.status STUDY --config prints one)

exit status: 0 all done, 1 some trials failed, 2 bad input, 130 stopped by Ctrl-C or kill
"""

_FLAGS = {
    "resume": "go on with the study in --study; trials and seeds may be raised",
    "dry_run": "print arms, trials, space and the time they will take, and start nothing",
    "confirm_again": "with --resume: open the test set once more, for arms whose longer "
    "search has found something better; every table will say so",
    "retry_failed": "with --resume: train the trials again that have failed",
    "set_aside": "with --resume: move the files of damaged trials to STUDY/set-aside, and "
    "train these trials again",
}


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    flags = {name: True for name in _FLAGS if chosen.pop(name, False)}
    if {"set_aside", "dry_run"} <= flags.keys():
        raise InputError("--set-aside moves files, --dry-run changes none; leave one out")
    resumes = flags.pop("resume", False)
    of_resume = [_flag(name) for name in flags if name != "dry_run"]
    if of_resume and not resumes:
        raise InputError(f"{of_resume[0]} needs --resume and --study DIR, the study to go on with")
    if resumes and "study" not in chosen:
        raise InputError("--resume needs --study DIR, the study to go on with")
    if resumes:
        from tuning.study_run import resume  # Optuna, which takes a while

        return resume(chosen, **flags)
    options = resolve(chosen)
    from masll.common.terminal import Terminal
    from tuning.study_run import begin

    if "preset" not in chosen and options.data not in SYNTHETIC:
        Terminal().print(
            f"without --preset it is the demo's: {options.image_size} pixels, {options.epochs} "
            f"epochs, {options.trials} trials; --preset laptop and paper are for real images"
        )
    return begin(options, **flags)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def parse(arguments: list[str] | None) -> dict[str, Any]:
    """The options that were given, and only those: on the command line, or in a file of `--config`.

    Raises:
        InputError: a file of `--config` that cannot be read, or that names an unknown option.
    """
    parser = Parser(prog="python -m tuning.search", description=_DESCRIPTION, epilog=_EPILOG)
    add_options(parser, SearchOptions, suppress_defaults=True)
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=None,
        help="options by name, with tables [space.NAME] and [arms.NAME] of searched parameters and "
        "arms: a TOML file, or the spec.json of another study; what is given beside it counts",
    )
    for name, help_text in _FLAGS.items():
        shown: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
        parser.add_argument(_flag(name), help=help_text, **shown)
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(arguments)).items()
    }
    config = chosen.pop("config")
    if config is not None:
        chosen = {**_of_file(config, chosen), **chosen}
    # --resume may come from elsewhere.
    if "data" in chosen and chosen["data"] not in SYNTHETIC:
        chosen["data"] = str(any_path(chosen["data"]).resolve())
    if "weights" in chosen:
        named = (setting.partition("=") for setting in chosen["weights"])
        chosen["weights"] = tuple(f"{b}{e}{file and Path(file).resolve()}" for b, e, file in named)
    return chosen


def _of_file(path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a file of `--config`."""
    known = {field.name for field in dataclasses.fields(SearchOptions)}
    config = read_config(path, with_parts="variant_from" in given)
    for name in config:
        if name not in known:
            raise InputError(f"--config {path}: unknown option {name}{suggestion(name, known)}")
    return config


command = functools.partial(run, main)  # of the console script

if __name__ == "__main__":
    command()
