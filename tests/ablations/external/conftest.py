"""A study that a search has confirmed, with its models and its images, for external evaluations."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import TINY_BACKBONE
from tuning import search

_ASKED = (
    f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 --trials 1 "
    "--epochs 1 --seeds 2 --batch-size 8 --num-gpus 0 --variants baseline gated-fusion "
    "--set optimizer=adamw weight_average=0.9 --in-process"
).split()


@pytest.fixture(scope="session")
def confirmed_master(isic_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed by a test: two arms of two seeds each, trained on `isic_master`."""
    study = tmp_path_factory.mktemp("confirmed") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASLL_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert search.main(["--data", str(isic_master), "--study", str(study), *_ASKED]) == 0
    return study


@pytest.fixture
def study(confirmed_master: Path, tmp_path: Path, cache: Path) -> Iterator[Path]:
    """A copy that a test may write to, and a cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASLL_CACHE", str(cache))
        yield Path(shutil.copytree(confirmed_master, tmp_path / "study"))
