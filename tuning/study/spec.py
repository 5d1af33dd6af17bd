"""The spec of a study: what was asked, of which images, with which versions. Fixed for its life."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from masll.common.errors import InputError
from tuning.study.arm import Arm, Declaration
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.space import Parameter, Space

SCHEMA_VERSION = 1
FEWEST_TO_REPEAT = 4  # search trials of an arm, with which finalists are trained again
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

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The spec of a JSON object; what it does not say has its default.

        Raises:
            TypeError, ValueError, KeyError, AttributeError: the content is not of that form.
        """
        options = dict(content.get("options", {}))
        space = options.pop("space", ())
        return cls(
            arms=tuple(_arm(arm, content.get("declared", {})) for arm in content.get("arms", ())),
            options=options,
            space=tuple(Parameter.from_dict(parameter) for parameter in space),
            data=_filled(DataRecord, content.get("data", {})),
            weights={
                name: _filled(WeightsRecord, values)
                for name, values in content.get("weights", {}).items()
            },
            parts=content.get("parts", {}),
            versions=content.get("versions", {}),
            git_commit=content.get("git_commit"),
            created_at=content.get("created_at", ""),
            primary=content.get("primary"),
            runs=tuple(_filled(Run, run) for run in content.get("runs", ())),
            spent={arm: _filled(Spent, spent) for arm, spent in content.get("spent", {}).items()},
            schema_version=content.get("schema_version", SCHEMA_VERSION),
        )

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
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no study in '{folder}': {path.name}: {error.strerror}; name a study folder"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; restore or remove it") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object; restore or remove it")
    version = content.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {version}, this program reads {SCHEMA_VERSION}; use the "
            "version of the program that made the study"
        )
    try:
        return Spec.from_json(content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no spec of a study: {error}; restore or remove it") from error


def spent_by_arm(rows: Iterable[TrialRow]) -> dict[str, Spent]:
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
    undeclared = Arm.parse(name)
    if undeclared.variant not in declared:
        return undeclared
    values = dict(declared[undeclared.variant])
    variant = values.pop("variant")
    return Arm(variant, undeclared.backbone, Declaration(undeclared.variant, **values))


def _filled(record: type, values: Mapping[str, Any]) -> Any:
    """A record with the values that are its own; others come from a later version."""
    names = {each.name for each in dataclasses.fields(record)}
    return record(**{name: value for name, value in values.items() if name in names})
