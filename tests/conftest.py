"""Small real data for every test: an ISIC 2017 folder of synthetic lesions, written once."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from masll.common.storage.s3 import file_system
from tests.s3 import S3, serve_s3
from tests.support import write_isic_folder

# A law holds however busy the machine is.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
# No test reaches a model hub: weights come from the offline package or not at all.
os.environ["HF_HUB_OFFLINE"] = "1"
# Networks of tests are so small that threads wait for each other: three times the processor time.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# A background job of a script ignores Ctrl-C, and so would everything that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For the next test, too: with more threads a network's last bits are others."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def isic_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed by a test."""
    return write_isic_folder(tmp_path_factory.mktemp("isic"))


@pytest.fixture
def isic_folder(isic_master: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(isic_master, tmp_path / "isic"))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """One for all tests that ask for it: each makes its own buckets."""
    with serve_s3(tmp_path_factory.mktemp("s3") / "log") as s3:
        yield s3


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """S3 on loopback for this process and those that it starts."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    file_system.cache_clear()
    yield s3_server
    file_system.cache_clear()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of image stores for all tests that do not test the cache."""
    return tmp_path_factory.mktemp("cache")
