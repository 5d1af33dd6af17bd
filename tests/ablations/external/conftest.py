"""A study of confirmed models with its images, for external evaluations."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ablations.external.studies import confirm_arms


@pytest.fixture(scope="session")
def confirmed_master(
    isic_master: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Not to be changed by a test."""
    study = tmp_path_factory.mktemp("confirmed") / "study"
    confirm_arms(study, isic_master, cache)
    return study


@pytest.fixture
def study(confirmed_master: Path, tmp_path: Path, cache: Path) -> Iterator[Path]:
    """A copy that a test may write to, with the cache of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASLL_CACHE", str(cache))
        yield Path(shutil.copytree(confirmed_master, tmp_path / "study"))
