"""An arm: a variant on a backbone, as it is or with options fixed; the unit that gets a budget."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from masll.variants import REFERENCE, Variant, describe

DEFAULT = "-default"  # behind the name of an arm whose default setting is confirmed
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Declaration:
    """What tells an arm that a file or an option declares from its variant."""

    name: str
    fixed: Mapping[str, Any] = field(hash=False)  # by names of fields of either config
    about: str = field(default="", compare=False)  # a sentence for the report
    compare: str = field(default=REFERENCE, compare=False)  # name of its reference
    lacks: str | None = field(default=None, compare=False)
    """What its reference has and it has not, in words; None where it has something more."""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the spec of a study, beside its name."""
        values = {"fixed": dict(self.fixed), "about": self.about, "compare": self.compare}
        return values if self.lacks is None else {**values, "lacks": self.lacks}


@dataclass(frozen=True)
class Arm:
    """One variant of the network on one backbone, with what a declaration fixes.

    >>> Arm.parse("gated-fusion/densenet121")
    Arm(variant='gated-fusion', backbone='densenet121', declared=None)
    >>> str(Arm("baseline", "resnet101"))
    'baseline/resnet101'
    >>> str(Arm("gated-fusion", "resnet101", Declaration("centre", {"box": "centre"})))
    'centre/resnet101'
    """

    variant: str
    backbone: str  # a timm model name; a hub's own may hold slashes, as in hf-hub:owner/name
    declared: Declaration | None = None

    def __str__(self) -> str:
        return f"{self.name}/{self.backbone}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The undeclared arm that `str` wrote: up to the first slash is the variant."""
        variant, _, backbone = text.partition("/")
        return cls(variant, backbone)

    @property
    def name(self) -> str:
        """That of its declaration, or its variant."""
        return self.variant if self.declared is None else self.declared.name

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Options that are the arm's own, by names of fields of either config."""
        return _NOTHING if self.declared is None else self.declared.fixed

    @property
    def is_default(self) -> bool:
        """Whether it is another arm with its default setting, which nobody searched."""
        return self.declared is not None and self.declared.name.endswith(DEFAULT)

    @property
    def reference(self) -> str:
        """Name of the arm that it is compared with, on the same backbone."""
        return REFERENCE if self.declared is None else self.declared.compare

    @property
    def design(self) -> Variant:
        """What the arm's network is made of."""
        return describe(self.variant)

    @property
    def localizes(self) -> bool:
        """Whether the arm has SLL, and so boxes and a threshold scale."""
        return self.design.localizes


def short_names(arms: Iterable[Arm]) -> dict[Arm, str]:
    """What arms are called on a screen: by name alone where all are on one backbone.

    >>> list(short_names([Arm("baseline", "a"), Arm("gated-fusion", "a")]).values())
    ['baseline', 'gated-fusion']
    """
    listed = list(arms)
    one = len({arm.backbone for arm in listed}) == 1
    return {arm: arm.name if one else str(arm) for arm in listed}
