"""The options of `python -m tuning.search`, declared once, and the presets that fill them in."""

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masll.common.checks import check_choice
from masll.common.errors import InputError
from masll.common.options import option
from masll.config import (
    BOXES,
    LEAST_PIXELS,
    MOST_COUNT,
    MOST_PIXELS,
    MOST_SEED,
    MOST_THREADS,
    default_source_size,
)
from masll.data.options import DataOptions, data_options
from masll.parts import Part, load_part
from masll.variants import VARIANTS
from tuning.recipe import Recipe
from tuning.selection import JUDGES, Selection
from tuning.settings import parse_settings

# What each preset costs and what to expect of it:
# demo:   3 to 14 minutes on two cores, on drawn lesions of which a local branch sees more.
# laptop: see docs/laptop.md for what it takes, gives, and was chosen by. Not the paper's recipe.
# paper:  the setting of the paper. On ISIC 2017 some 400 trials of up to 100 epochs: days on eight
#        GPUs (not measured here). Published: AUC 0.845 for DenseNet121 alone, 0.878 for MASLL.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "backbones": ("efficientnet_lite0",),
        "trials": 2,
        "epochs": 3,
        "seeds": 3,
        "image_size": 64,
        "source_size": 192,
        "confirm_default": False,
        "data": "synthetic-fine",
        "set": ("optimizer=adamw", "weight_average=0.95"),
        "space": str(Path(__file__).with_name("demo.toml")),
    },
    "laptop": {
        "backbones": ("efficientnet_lite0",),
        "trials": 6,
        "epochs": 3,
        "seeds": 3,
        "image_size": 128,
        "source_size": 256,
        "confirm_default": True,
        "validation": "fold",
        "set": ("optimizer=adamw", "weight_decay=0.01", "weight_average=0.99"),
    },
    "paper": {
        "backbones": ("resnet101", "densenet121"),
        "trials": 30,
        "epochs": 100,
        "seeds": 5,
        "image_size": 256,
        "confirm_default": True,
    },
}
SAMPLERS = ("tpe", "random", "gp")
SCHEDULERS = ("asha", "none")
CONTROLS = tuple(box for box in BOXES if box != "sll")
VALIDATIONS = ("official", "fold", "cv5")
_NAME = re.compile(r"\w[\w .+-]*")
_MOST_SECONDS = 3650 * 86400


def _by_preset(help: str, name: str, metavar: str = "N", **bounds: Any) -> Any:
    shown = ", ".join(f"{preset} {_shown(values[name])}" for preset, values in PRESETS.items())
    return option(None, f"{help} (default: {shown})", metavar=metavar, **bounds)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class SearchOptions(DataOptions):
    """What a study is asked. `resolve` makes one from a command line."""

    study: str | None = option(
        None,
        "folder of the study, here or s3://bucket/study (default: a new one in studies/)",
        metavar="DIR",
    )
    name: str | None = option(
        None,
        "what the study is called, in its folder (default: the time, then the name), in lists and "
        "reports",
    )
    note: str | None = option(None, "a sentence about the study, for lists and reports")
    preset: str = option("demo", "fills in what is not given", choices=tuple(PRESETS))
    variants: tuple[str, ...] = option(VARIANTS, "variants to compare")
    backbones: tuple[str, ...] = _by_preset("timm networks to compare them on", "backbones", "NAME")
    pretrained: bool = option(True, "start from ImageNet weights")
    weights: tuple[str, ...] = option(
        (),
        "files with backbones' weights, to start from instead: .safetensors, or a PyTorch "
        "checkpoint of tensors",
        metavar="BACKBONE=FILE",
    )
    trials: int = _by_preset("search trials of each arm", "trials", least=1, most=MOST_COUNT)
    epochs: int = _by_preset("most epochs of a trial", "epochs", least=1, most=MOST_COUNT)
    seeds: int = _by_preset(
        "seeds that each arm's best is retrained with", "seeds", least=1, most=MOST_COUNT
    )
    image_size: int = _by_preset(
        "side of a network input in pixels", "image_size", least=LEAST_PIXELS, most=MOST_PIXELS
    )
    batch_size: int = option(15, "images in a step", least=1, most=MOST_COUNT)
    sampler: str = option("tpe", "how hyperparameters are drawn", choices=SAMPLERS)
    scheduler: str = option("asha", "which search trials are stopped early", choices=SCHEDULERS)
    finalists: int = option(
        3,
        "best of a search that are trained again with two seeds each before one is chosen; "
        "--trials counts them, half of it at most (none with fewer than 4)",
        least=0,
        most=MOST_COUNT,
    )
    judge: str = option(
        "end",
        "what a search trial is judged by: the mean AUC of its last tenth of epochs (end), or that "
        "of its best epoch",
        choices=JUDGES,
    )
    validation: str = option(
        "official",
        "what the search is judged by: the official validation images, or of training and "
        "validation images together, duplicates kept together, a fifth that is held out (fold), or "
        "five folds (cv5) at five times the cost",
        choices=VALIDATIONS,
    )
    drop_leaks: bool = option(
        False, "leave out training images that show a lesion of the validation or test images"
    )
    space: str | None = option(
        None, "TOML file that adds or changes searched parameters", metavar="FILE.toml"
    )
    set: tuple[str, ...] = option(
        (),
        "fix options of masll/config.py for all arms, such as optimizer=adamw weight_decay=0.01; "
        "what is fixed is not searched",
        metavar="NAME=VALUE",
    )
    arms: str | None = option(
        None,
        "TOML file that declares further arms: a variant with options of masll/config.py fixed, "
        "under a name (docs/arms.md)",
        metavar="FILE.toml",
    )
    variant_from: tuple[str, ...] = option(
        (),
        "further arms: gated-fusion with a fusion or a localizer of your own, each a Python file "
        "or an installed entry point (docs/parts.md)",
        metavar="FILE.py",
    )
    controls: tuple[str, ...] = option(
        (),
        "further arms: gated-fusion with its box from elsewhere, which tell localization from a "
        "zoom and from a second network",
        choices=CONTROLS,
    )
    confirm_default: bool = _by_preset(
        "confirm each arm's default setting, too, as an arm of its own", "confirm_default"
    )
    seed: int = option(
        0,
        "of the samplers and the search trials; confirm trials count up from it",
        least=0,
        most=MOST_SEED - MOST_COUNT,
    )
    num_gpus: int | None = option(
        None,
        "GPUs to use at most, in all of a cluster (default: all there are; the CPU if none)",
        least=0,
        most=MOST_COUNT,
    )
    gpus_per_trial: str = option(
        "1",
        "share of a GPU for each trial, such as 0.25, or auto: measured once before the study",
        metavar="F|auto",
    )
    cpus_per_trial: int | None = option(
        None,
        "cores for each trial (default: 1 on CPUs, the cores per GPU on GPUs)",
        least=1,
        most=MOST_THREADS,
    )
    address: str | None = option(None, "of a running Ray cluster, or auto", metavar="ADDR")
    in_process: bool = option(
        False, "train here, one trial after another and without Ray, so that a debugger can stop"
    )
    time_budget: str | None = option(
        None, "start no more search trials after this time, such as 90m or 12h", metavar="TIME"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for variant in self.variants:
            check_choice("variant", variant, VARIANTS)
        for name in ("variants", "backbones", "controls"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise InputError(f"--{name} names one of {' '.join(values)} twice; name each once")
        if self.source_pixels < self.image_size:
            raise InputError(
                f"--source-size {self.source_size} is below --image-size {self.image_size}; "
                "crops are cut from the source, so make it as large at least"
            )
        if self.address is not None and self.in_process:
            raise InputError(
                f"--in-process trains here, and --address {self.address} elsewhere; leave one out"
            )
        if self.address is not None and self.address.startswith("ray://"):
            # Tune would run in another process, which does not have the study's files and locks.
            raise InputError(
                f"--address {self.address} is one of Ray's client; run the search on "
                "a node of the cluster, with --address auto"
            )
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise InputError(
                f"--name '{self.name}': a name has letters, digits, spaces and ._+-, and begins "
                "with a letter or digit"
            )
        parse_time(self.time_budget)
        parse_share(self.gpus_per_trial)
        parse_settings(self.set)
        for backbone in self.weight_files:
            if backbone not in self.backbones:
                known = " ".join(self.backbones)
                raise InputError(f"--weights {backbone}: no backbone of the study, {known}")

    @property
    def source_pixels(self) -> int:
        """Side of the stored images."""
        given = self.source_size
        return default_source_size(self.image_size) if given is None else given

    @property
    def weight_files(self) -> dict[str, str]:
        """What `--weights` says: file by backbone.

        Raises:
            InputError: it says it otherwise.
        """
        files = {}
        for setting in self.weights:
            backbone, equals, file = setting.partition("=")
            if not (backbone and equals and file):
                raise InputError(f"--weights {setting}: write it as BACKBONE=FILE")
            files[backbone] = file
        return files

    @property
    def recipe(self) -> Recipe:
        """How every trial trains."""
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            image_size=self.image_size,
            source_size=self.source_pixels,
            pretrained=self.pretrained,
            weights=self.weight_files,
            fixed=self.fixed,
            parts=self.parts,
        )

    @property
    def parts(self) -> dict[str, Part]:
        """What `--variant-from` names, by name.

        Raises:
            InputError: it cannot be had, or two have one name.
        """
        found: dict[str, Part] = {}
        for named in self.variant_from:
            part = load_part(named)
            if part.name in found:
                raise InputError(f"--variant-from {named}: another part is {part.name}; rename it")
            found[part.name] = part
        return found

    @property
    def fixed(self) -> dict[str, Any]:
        """What `--set` says, by the names of fields of either config."""
        return parse_settings(self.set)

    @property
    def selection(self) -> Selection:
        """How an arm's best hyperparameters are chosen."""
        return Selection(self.finalists, self.judge)

    @property
    def data_options(self) -> DataOptions:
        """Which images, at the size that they are stored in."""
        return data_options(self, source_size=self.source_pixels)

    @property
    def gpu_share(self) -> float | None:
        """The part of a GPU that each trial has; None where it is to be measured."""
        return parse_share(self.gpus_per_trial)

    @property
    def shares_gpus(self) -> bool:
        """Whether several trials may run on one GPU."""
        return self.num_gpus != 0 and self.gpu_share != 1


def resolve(chosen: dict[str, Any]) -> SearchOptions:
    """What was given on the command line, the rest by the preset and the defaults."""
    preset = dict(PRESETS[chosen.get("preset", "demo")])
    if "image_size" in chosen:
        preset.pop("source_size", None)  # chosen for the preset's own image size
    if "data" in chosen and "data" in preset:
        del preset["set"], preset["space"]  # chosen for the preset's own images
    fixed = {setting.partition("=")[0]: setting for setting in preset.pop("set", ())}
    own = {setting.partition("=")[0] for setting in chosen.get("set", ())}
    kept = tuple(setting for name, setting in fixed.items() if name not in own)
    return SearchOptions(**{**preset, **chosen, "set": (*kept, *chosen.get("set", ()))})


def parse_share(text: str) -> float | None:
    """The part of a GPU that a trial has, 0.01 to 1; None for `auto`."""
    if text == "auto":
        return None
    with contextlib.suppress(ValueError):
        if 0.01 <= float(text) <= 1:
            return float(text)
    raise InputError(f"--gpus-per-trial must be from 0.01 to 1, or auto, got '{text}'")


def parse_time(text: str | None) -> float:
    """Seconds: `90` or `90s`, `15m`, `12h`, `2d`; None is no limit."""
    if text is None:
        return math.inf
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text)
    if not match:
        raise InputError(f"--time-budget '{text}' is no time; write it like 90m or 12h")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if not 1 <= seconds <= _MOST_SECONDS:
        raise InputError(f"--time-budget must be from 1s to 3650d, got {text}")
    return seconds
