"""The spec of a study: what was asked, of which images, with which versions. Fixed for its life."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from masll.common.errors import InputError
from tuning.study.arm import Arm, Declaration
from tuning.study.damage import DamagedFile
from tuning.study.folder import StudyFolder
from tuning.study.known import others_than
from tuning.study.plain import check_type, filled, read_object, shown
from tuning.study.space import Parameter, Space

if TYPE_CHECKING:  # Arrow, which no option of a command needs
    from tuning.study.rows import TrialRow

SCHEMA_VERSION = 1
FEWEST_TO_REPEAT = 4  # search trials of an arm, with which finalists are trained again
_LISTS = ("variants", "backbones", "set", "positive", "labels", "split_by")
_OPTIONS: Mapping[str, Any] = {  # types of those that reports read, too
    **dict.fromkeys(("trials", "epochs", "seeds", "seed", "finalists", "image_size"), int),
    **dict.fromkeys(_LISTS, tuple[str, ...]),
    **dict.fromkeys(("sampler", "scheduler", "validation", "judge", "data", "fit"), str),
    "source_size": int | None,
    "partial": bool,
}
TPE_BEGINS = 10  # trials of an arm that have to end before TPE draws; until then at random


@dataclass(frozen=True)
class DataRecord:
    """The images that a study began with."""

    source: str | None = None
    fingerprint: str | None = None  # of ids, labels, splits and content
    images: Mapping[str, int] = field(default_factory=dict)  # by split
    melanoma: Mapping[str, int] = field(default_factory=dict)  # likewise
    left_out: Mapping[str, list[str]] = field(default_factory=dict)
    """Ids of images that no network learns from, with later images that show the same lesion."""
    leaks: int | None = None
    """Training images that show a lesion of a later split, left out or not; None if not known."""


@dataclass(frozen=True)
class WeightsRecord:
    """What a backbone started from."""

    source: str  # in words
    sha256: str | None = None  # of the file
    right: str | None = None  # the backbone that feeds them as they were trained; None for this one


@dataclass(frozen=True)
class Run:
    """One run of the search in a study."""

    started_at: str  # ISO 8601, UTC
    ended_at: str
    seconds: float
    slots: str  # in words
    busy: float  # share of the slots' time in which they ran trials, 0 to 1
    left_out: tuple[str, ...] = ()  # machines and GPUs where no trial came to its first epoch


@dataclass(frozen=True)
class Spent:
    """What an arm has taken so far."""

    trials: int = 0
    epochs: int = 0
    slot_hours: float = 0.0
    gpu_hours: float = 0.0


@dataclass(frozen=True)
class Spec:
    """STUDY/spec.json."""

    arms: tuple[Arm, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # what was asked, without the space
    space: Space = ()
    data: DataRecord = DataRecord()
    weights: Mapping[str, WeightsRecord] = field(default_factory=dict)  # by backbone
    parts: Mapping[str, str] = field(default_factory=dict)  # users' own: sha256 of each, by name
    versions: Mapping[str, str] = field(default_factory=dict)  # of Python and packages
    git_commit: str | None = None
    created_at: str = ""  # ISO 8601, UTC
    primary: str | None = None  # the question named before the study; None in earlier versions
    runs: tuple[Run, ...] = ()
    spent: Mapping[str, Spent] = field(default_factory=dict)  # by arm
    schema_version: int = SCHEMA_VERSION

    @property
    def is_complete(self) -> bool:
        """Whether it says all that was asked, as a search does; one by hand may say less."""
        return "data" in self.options

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The spec of a JSON object; what it does not say has its default.

        Raises:
            ValueError: the content is not of that form, or contradicts itself.
        """
        check_type("options", content.get("options", {}), Mapping[str, Any])
        options = dict(content.get("options", {}))
        space = options.pop("space", ())
        check_type("options.space", space, tuple[Mapping[str, Any], ...])
        _check_options(options)
        lists: Mapping[str, Any] = {
            "arms": tuple[str, ...],
            "declared": Mapping[str, Mapping[str, Any]],
            "runs": tuple[Mapping[str, Any], ...],
            "spent": Mapping[str, Mapping[str, Any]],
            "weights": Mapping[str, Mapping[str, Any]],
        }
        for name, hint in lists.items():
            if name in content:
                check_type(name, content[name], hint)
        records: dict[str, Any] = {
            "arms": tuple(
                _arm(arm, content.get("declared", {})) for arm in content.get("arms", ())
            ),
            "options": options,
            "space": tuple(Parameter.from_dict(parameter) for parameter in space),
            "data": filled(DataRecord, content.get("data", {})),
            "weights": {
                name: filled(WeightsRecord, values)
                for name, values in content.get("weights", {}).items()
            },
            "runs": tuple(filled(Run, run) for run in content.get("runs", ())),
            "spent": {arm: filled(Spent, spent) for arm, spent in content.get("spent", {}).items()},
        }
        spec = filled(cls, content, **records)
        _check_arms(spec)
        if len({parameter.name for parameter in spec.space}) < len(spec.space):
            raise ValueError("options.space names a parameter twice")
        return spec

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        space = [parameter.as_dict() for parameter in self.space]
        content = {
            "schema_version": self.schema_version,
            "created_at": self.created_at,
            "arms": [str(arm) for arm in self.arms],
            "options": {**self.options, "space": space},
            "data": dataclasses.asdict(self.data),
            "versions": dict(self.versions),
            "git_commit": self.git_commit,
        }
        declared = {
            arm.name: {"variant": arm.variant, **arm.declared.as_dict()}
            for arm in self.arms
            if arm.declared is not None
        }
        if declared:
            content["declared"] = declared
        if self.weights:
            content["weights"] = {
                name: dataclasses.asdict(record) for name, record in self.weights.items()
            }
        if self.parts:
            content["parts"] = dict(self.parts)
        if self.primary is not None:
            content["primary"] = self.primary
        if self.runs:
            content["runs"] = [dataclasses.asdict(run) for run in self.runs]
            content["spent"] = {arm: dataclasses.asdict(each) for arm, each in self.spent.items()}
        return content

    def write(self, folder: StudyFolder) -> None:
        """Write it into the study folder, whole or not at all.

        Raises:
            InputError: the folder cannot be made or written to.
        """
        try:
            folder.spec.write_whole(json.dumps(self.as_json(), indent=2) + "\n")
        except OSError as error:
            raise InputError(
                f"cannot write the study {folder}: {error.strerror}; name another folder"
            ) from error


def read_spec(folder: StudyFolder) -> Spec:
    """Read STUDY/spec.json.

    Raises:
        InputError: there is none, it cannot be read, or it is of another schema.
    """
    path = folder.spec
    try:
        content = read_object(path)
    except FileNotFoundError as error:
        raise InputError(
            f"no study in '{folder}': {path.name}: {error.strerror}; name a study folder"
            + others_than(folder)
        ) from error
    except (OSError, ValueError) as error:
        raise DamagedFile(path, error) from error
    version = content.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {shown(version)}, this program reads {SCHEMA_VERSION}; use "
            "the version of the program that made the study"
        )
    try:
        return Spec.from_json(content)
    except ValueError as error:
        raise DamagedFile(path, error) from error


def spent_by_arm(rows: "Iterable[TrialRow]") -> dict[str, Spent]:
    """What each arm has taken, by the rows of its trials."""
    spent: dict[str, Spent] = {}
    for row in rows:
        so_far, hours = spent.get(row.arm, Spent()), row.seconds / 3600
        spent[row.arm] = Spent(
            so_far.trials + 1,
            so_far.epochs + row.epochs,
            so_far.slot_hours + hours,
            so_far.gpu_hours + hours * (row.gpus or 0),
        )
    return spent


def _arm(name: str, declared: Mapping[str, Mapping[str, Any]]) -> Arm:
    """An arm by its name, and by what was declared under the part before the first slash."""
    # It names folders of models, too.
    parts = name.split("/")
    if len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts) or not name.isprintable():
        raise ValueError(f"arms: {shown(name)} is no arm, which is a variant/backbone")
    undeclared = Arm.parse(name)
    if undeclared.variant not in declared:
        return undeclared
    values = dict(declared[undeclared.variant])
    variant = values.pop("variant", None)
    check_type(f"declared.{undeclared.variant}.variant", variant, str)
    return Arm(variant, undeclared.backbone, filled(Declaration, values, name=undeclared.variant))


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise `ValueError` for options that tables and texts could not do with.

    The search checks all of them (see `tuning.options`).
    """
    for name, hint in _OPTIONS.items():
        if name in options:
            check_type(f"options.{name}", options[name], hint)
    for name in ("trials", "epochs", "seeds"):
        if options.get(name, 1) < 1:
            raise ValueError(f"options.{name} must be above 0, got {options[name]}")


def _check_arms(spec: Spec) -> None:
    """Raise `ValueError` where arms stand twice, or differ from the options."""
    if len(set(spec.arms)) < len(spec.arms):
        raise ValueError("arms has one twice")
    for arm in spec.arms:
        if arm.declared is None and arm.variant not in spec.options.get("variants", [arm.variant]):
            raise ValueError(f"arms has {arm}, which options.variants lacks")
        if arm.backbone not in spec.options.get("backbones", [arm.backbone]):
            raise ValueError(f"arms has {arm}, which options.backbones lacks")
    for variant in spec.options.get("variants", ()):
        if spec.arms and not any(arm.variant == variant for arm in spec.arms):
            raise ValueError(f"options.variants has {shown(variant)}, of which there is no arm")
