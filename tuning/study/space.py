"""The search space: which hyperparameters are searched, over what range, in which variants."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from masll.variants import VARIANTS


@dataclass(frozen=True)
class Parameter:
    """One searched hyperparameter, by the name of a field of `ModelConfig` or `TrainConfig`."""

    name: str
    type: str  # float, int or choice
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None  # the first trial's value; the library's default unless it is given
    variants: tuple[str, ...] = VARIANTS  # where it is searched

    def __str__(self) -> str:
        """Name and range, as a person would write them."""
        if self.type == "choice":
            return f"{self.name} in {{{', '.join(map(str, self.choices))}}}"
        return f"{self.name} {self.low:g} to {self.high:g}{' log' * self.log}"

    def __contains__(self, value: Any) -> bool:
        """Whether a value lies in the range, or is one of the choices."""
        if self.type == "choice":
            return value in self.choices
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the spec of a study and could stand in a TOML file."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The parameter that `as_dict` wrote."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()
        }
        return cls(**values)


Space = tuple[Parameter, ...]


def of_variant(space: Space, variant: str) -> Space:
    """The parameters that are searched for a variant."""
    return tuple(parameter for parameter in space if variant in parameter.variants)
