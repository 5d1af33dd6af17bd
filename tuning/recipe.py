"""How every trial of a study trains, beside what is searched: the one place that makes configs."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from masll.config import ModelConfig, TrainConfig
from masll.parts import Part
from tuning.study.arm import Arm

PART_KINDS = frozenset(("fusion", "localizer"))  # fields of ModelConfig that a part's name fixes
MODEL_OPTIONS = frozenset(each.name for each in dataclasses.fields(ModelConfig))
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Recipe:
    """What all trials of a study have in common."""

    epochs: int
    batch_size: int
    image_size: int  # side of a network input in pixels
    source_size: int  # side of the stored images, which crops are cut from
    pretrained: bool
    weights: Mapping[str, str] = field(default_factory=dict)  # file to start from, by backbone
    fixed: Mapping[str, Any] = field(default_factory=dict)  # fields of either config, by name
    parts: Mapping[str, Part] = field(default_factory=dict)  # users' own, by name

    def configs(
        self, arm: Arm, params: Mapping[str, Any] = _NOTHING, seed: int = 0
    ) -> tuple[ModelConfig, TrainConfig]:
        """What makes a trial's network, and how it is trained.

        Args:
            params: hyperparameters by the names of fields of either config.

        Raises:
            KeyError: the arm has a part that is not among `parts`.
        """
        params = {**self.fixed, **arm.fixed, **params}
        for kind in PART_KINDS & params.keys():
            options = params.pop(f"{kind}_options", {})
            params[kind] = self.parts[params[kind]].with_options(options)
        model = {name: value for name, value in params.items() if name in MODEL_OPTIONS}
        training = {name: value for name, value in params.items() if name not in MODEL_OPTIONS}
        network: dict[str, Any] = {"variant": arm.variant, "backbone": arm.backbone}
        network |= {"pretrained": self.pretrained, "image_size": self.image_size}
        if model.get("pretrained", self.pretrained):
            network["weights"] = self.weights.get(arm.backbone)
        run = {"epochs": self.epochs, "batch_size": self.batch_size, "seed": seed}
        return ModelConfig(**network | model), TrainConfig(**run | training)
