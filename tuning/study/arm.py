"""An arm: one variant on one backbone, the unit that gets a budget."""

from dataclasses import dataclass
from typing import Self

from masll.variants import Variant, describe


@dataclass(frozen=True)
class Arm:
    """One variant of the network on one backbone.

    >>> Arm.parse("gated-fusion/densenet121")
    Arm(variant='gated-fusion', backbone='densenet121')
    >>> str(Arm("baseline", "resnet101"))
    'baseline/resnet101'
    """

    variant: str
    backbone: str  # a timm model name; a hub's own may hold slashes, as in hf-hub:owner/name

    def __str__(self) -> str:
        return f"{self.variant}/{self.backbone}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The arm that `str` wrote: everything up to the first slash is the variant."""
        variant, _, backbone = text.partition("/")
        return cls(variant, backbone)

    @property
    def design(self) -> Variant:
        """What the arm's network is made of."""
        return describe(self.variant)

    @property
    def localizes(self) -> bool:
        """Whether the arm has SLL, and so boxes and a threshold scale."""
        return self.design.localizes
