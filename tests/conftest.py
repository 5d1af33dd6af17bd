"""Small real data for every test: an ISIC 2017 folder of synthetic lesions, written once."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support import write_isic_folder

# No test reaches a model hub: weights come from the offline package or not at all.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def isic_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed by a test."""
    return write_isic_folder(tmp_path_factory.mktemp("isic"))


@pytest.fixture
def isic_folder(isic_master: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(isic_master, tmp_path / "isic"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of image stores for all tests that do not test the cache."""
    return tmp_path_factory.mktemp("cache")
