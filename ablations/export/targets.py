"""What a study can be exported to, and the packages that each needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Target:
    """One value of --to."""

    module: str  # that writes it, by its function `export`
    units: str  # of which it writes one for each trial or model
    packages: tuple[str, ...] = ()  # that it imports, beside those of a report
    extra: str = ""  # of pyproject.toml, which brings them
    takes_s3: bool = False
    refused: str = ""  # characters that DIR must not have


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "mlflow": Target(
            "ablations.export.to_mlflow",
            "trials",
            ("mlflow", "sqlalchemy", "alembic"),
            "mlflow",
            refused="?",  # which begins the options in the address of a database
        ),
        "tensorboard": Target(
            "ablations.export.to_tensorboard",
            "trials",
            ("tensorboard",),
            "tensorboard",
            takes_s3=True,
        ),
        "wandb-offline": Target("ablations.export.to_wandb", "trials", ("wandb",), "wandb"),
        "isic": Target("ablations.export.to_isic", "models", takes_s3=True),
    }
)
