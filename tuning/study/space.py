"""The search space: which hyperparameters are searched, over what range, in which variants."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from masll.config import ModelConfig, TrainConfig
from masll.variants import VARIANTS
from tuning.study.arm import Arm
from tuning.study.plain import filled, shown

_OPTIONS = {each.name for of in (ModelConfig, TrainConfig) for each in dataclasses.fields(of)}


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
        """The parameter that `as_dict` wrote.

        Raises:
            ValueError: it is of another form, or has no range.
        """
        parameter = filled(cls, stored)
        name = f"options.space: {shown(parameter.name)}"
        if parameter.name not in _OPTIONS:
            raise ValueError(f"{name} is no option of masll/config.py")
        if parameter.type not in ("float", "int", "choice"):
            raise ValueError(f"{name} is of type {shown(parameter.type)}: not float, int or choice")
        if parameter.type == "choice":
            if not parameter.choices:
                raise ValueError(f"{name} has no choices")
        elif parameter.low is None or parameter.high is None or parameter.low > parameter.high:
            raise ValueError(f"{name} has no range: {parameter.low} to {parameter.high}")
        elif parameter.log and parameter.low <= 0:
            raise ValueError(f"{name} begins at {parameter.low}, which has no logarithm")
        return parameter


Space = tuple[Parameter, ...]


# The range of the learning rate by optimizer. AdamW's steps are of the size of the rate, whatever
# the gradient's: it wants a smaller one.
LEARNING_RATES: Mapping[str, Parameter] = {
    "sgd": Parameter("lr", "float", 1e-4, 1e-1, log=True, default=TrainConfig.lr),
    "adamw": Parameter("lr", "float", 1e-5, 1e-2, log=True, default=5e-4),
}
# Options that only boxes from the activation map have.
_OF_THE_MAP = {"threshold_scale", "map_size", "largest_component"}
_OF_WFI = {"gate_bias", "gate_scaled"}


def of_arm(space: Space, arm: Arm) -> Space:
    """The parameters that are searched for an arm: of its variant, less what it fixes.

    With an optimizer of its own, it has that optimizer's range of the learning rate, unless the
    study has another range than the usual one. Where the box is no map's, there is no threshold,
    and where the fusion is a user's, there is no WFI.
    """
    own = {p.name: p for p in space if arm.variant in p.variants and p.name not in arm.fixed}
    if own.get("lr") in LEARNING_RATES.values() and "optimizer" in arm.fixed:
        own["lr"] = LEARNING_RATES[arm.fixed["optimizer"]]
    if arm.fixed.get("box", "sll") not in ("sll", "shuffled"):
        own = {name: parameter for name, parameter in own.items() if name not in _OF_THE_MAP}
    if "fusion" in arm.fixed:
        own = {name: parameter for name, parameter in own.items() if name not in _OF_WFI}
    return tuple(own.values())


def default_setting(space: Space) -> dict[str, Any]:
    """The first trial's values."""
    return {parameter.name: parameter.default for parameter in space}
