"""MASLL, multi-level attentive skin lesion learning: the model library.

>>> from masll import VARIANTS, ModelConfig, build_model
>>> model = build_model(ModelConfig(variant="gated-fusion", backbone="resnet18", pretrained=False))
"""

from typing import TYPE_CHECKING, Any

from masll.common.errors import InputError
from masll.config import ModelConfig
from masll.variants import VARIANTS

if TYPE_CHECKING:
    from masll.model import build_model, load_model

__all__ = ["VARIANTS", "InputError", "ModelConfig", "build_model", "load_model"]


def __getattr__(name: str) -> Any:
    """Import the model, and with it PyTorch, when it is first asked for."""
    if name in __all__:
        from masll import model

        return getattr(model, name)
    raise AttributeError(f"module 'masll' has no attribute '{name}'")
