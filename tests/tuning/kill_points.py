"""A search that is killed at a given file operation, with a stand-in for training and no Ray.

Everything else is the command itself (`tuning.search.main`), in a fork. `Disk` counts the
operations below the study: opening for writing, writing, syncing, renaming, removing, making
folders. At the chosen one the process ends: whole, or with half of a write on the disk, or with the
loss of power, after which the folder has nothing but what was synced.
"""

import builtins
import contextlib
import errno
import io
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from masll.common.storage import any_path
from masll.config import ModelConfig
from masll.model import build_model, save_model
from masll.results import EpochResult, Predictions
from masll.states import save_state
from tests.support import TINY_BACKBONE
from tuning import in_process, last_screen, search
from tuning.checkpoints import load_checkpoint
from tuning.study.trial import Stage
from tuning.trial_report import TrialReport

EPOCHS = 3
ASKED = (
    f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 --trials 2 "
    f"--epochs {EPOCHS} --seeds 1 --batch-size 8 --num-gpus 0 --in-process "
    "--variants baseline gated-fusion"
).split()
KILLED = 9
_MODEL = ModelConfig("baseline", TINY_BACKBONE, pretrained=False, image_size=32)


class StandIn:
    """In the place of a `TrialRun`: real checkpoints and models of a network that never trains."""

    def __init__(self, job, trial, store, images, node, gpu_share) -> None:
        del images, gpu_share
        self.folder, self.trial, self.store, self.node = job.folder, trial, store, node
        self.folder.place(trial.trial_id).write_whole(str(node))
        saved = load_checkpoint(self.folder, trial.trial_id)
        self.epochs = saved.epochs if saved else []
        self.unreported = saved is not None

    def step(self) -> TrialReport:
        if not self.unreported:
            epoch = len(self.epochs) + 1
            auc = 0.5 + 0.1 * epoch
            self.epochs.append(EpochResult(epoch, 0.01, 0.5, 0.5, auc, *[None] * 6, seconds=1.0))
        self.unreported = False
        done, predictions = len(self.epochs) == EPOCHS, [self._predictions("validation")]
        if not done:
            epochs = [vars(epoch) for epoch in self.epochs]
            state = {"epochs": epochs, "seconds": 1.0, "trainer": {"w": torch.zeros(3)}}
            with contextlib.suppress(OSError):  # as the writer of checkpoints does
                save_state(self.folder.checkpoint(self.trial.trial_id), state)
        elif self.trial.stage == Stage.CONFIRM:
            predictions.append(self._predictions("test"))
            save_model(build_model(_MODEL), self.folder.model(self.trial.arm, self.trial.seed))
        rest = {"earlier_seconds": 0.0, "images_per_second": 1.0, "peak_memory_mb": 1.0}
        return TrialReport(
            list(self.epochs), done, self.epochs[-1], False, predictions, 1.0,
            device="cpu", node=self.node, **rest,
        )  # fmt: skip

    def _predictions(self, split: str) -> Predictions:
        listed = self.store.listed(split)
        draws = np.random.default_rng(sum(map(ord, self.trial.trial_id + split)))
        scores = draws.random(len(listed["ids"]))
        return Predictions(split, tuple(listed["ids"]), np.array(listed["labels"]), scores, None)

    def close(self) -> None:
        """Nothing is being written."""


class Disk:
    """Counts what a process does below a folder, and ends it there or fails from there on.

    Args:
        end_at: the operation that never comes to its end; None to count only.
        how: `whole`, `torn` or `power`; or an errno, with which it and all later ones fail.
    """

    def __init__(self, root: Path, end_at: int | None, how: str | int) -> None:
        self.root, self.end_at, self.how = str(root), end_at, how
        self.names: list[str] = []
        self.synced: dict[int, bytes] = {}  # content by inode
        self.durable: dict[str, dict[str, bytes | None]] = {}  # by folder; None for a folder

    def point(self, what: str, path: object) -> bool:
        """Whether the process is to end in this operation."""
        if not str(path).startswith(self.root):
            return False
        self.names.append(f"{what} {Path(str(path)).name}")
        if isinstance(self.how, int) and self.end_at and len(self.names) >= self.end_at:
            if what.startswith(("unlink", "rmdir")) and self.how != errno.EROFS:
                return False  # a full disk lets things be removed
            raise OSError(self.how, os.strerror(self.how))
        return len(self.names) == self.end_at

    def end(self) -> None:
        if self.how == "power":
            self._forget()
        os._exit(KILLED)

    def install(self) -> None:
        """Into this process, which is a fork."""
        real_open, fsync = io.open, os.fsync

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            writes = isinstance(file, str | Path) and any(each in mode for each in "wa+x")
            if not writes or not str(file).startswith(self.root):
                return real_open(file, mode, *rest, **named)
            if self.point("open", file):
                self.end()
            is_new = not Path(file).exists()
            handle = real_open(file, mode, *rest, **named)
            if is_new:
                self.synced.pop(os.fstat(handle.fileno()).st_ino, None)
            return _Written(self, handle, file)

        def synced(handle: Any) -> None:
            handle = handle if isinstance(handle, int) else handle.fileno()
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if self.point("sync", path):
                self.end()
            fsync(handle)
            if str(path).startswith(self.root):
                self._note(path)

        io.open = builtins.open = opened
        os.fsync = synced
        for name in ("replace", "unlink", "mkdir", "rename", "rmdir"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def operation(path: Any, *rest: Any, **named: Any) -> Any:
            if self.point(name, path):
                self.end()
            return real(path, *rest, **named)

        return operation

    def _note(self, path: Path) -> None:
        if path.is_dir():
            self.durable[str(path)] = {
                entry.name: None if entry.is_dir() else self.synced.get(entry.stat().st_ino, b"")
                for entry in path.iterdir()
            }
            return
        self.synced[path.stat().st_ino] = content = path.read_bytes()
        names = self.durable.get(str(path.parent), {})
        if path.name in names:
            names[path.name] = content

    def _forget(self) -> None:
        """Leave what was synced, of folders whose names were, and nothing else."""
        root, self.root = Path(self.root), "\0"
        durable = self.durable
        shutil.rmtree(root)

        def restore(folder: Path) -> None:
            folder.mkdir()
            for name, content in durable.get(str(folder), {}).items():
                if content is None:
                    restore(folder / name)
                else:
                    (folder / name).write_bytes(content)

        restore(root)


class _Written:
    """A file that is being written."""

    def __init__(self, disk: Disk, file: Any, path: Any) -> None:
        self._disk, self._file, self._path = disk, file, path

    def write(self, content: Any) -> int:
        if self._disk.point("write", self._path):
            if self._disk.how == "torn":
                self._file.write(content[: len(content) // 2])
                self._file.flush()
            self._disk.end()
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)


def run_fork(
    root: Path, data: Path, end_at: int | None = None, how: str | int = "whole"
) -> tuple[int, list[str], str]:
    """Begin or resume the study `root/study`: exit status, operations, and what it said."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        output = root.parent / "output"
        # pytest's own sys.stdout and sys.stderr do not write to 1 and 2.
        sys.stdout = sys.stderr = output.open("w", buffering=1)
        disk, status = Disk(root, end_at, how), 1
        in_process.TrialRun = StandIn  # type: ignore[misc,assignment]
        last_screen._report = lambda *_: 0  # type: ignore[assignment]
        disk.install()
        try:
            status = _drive(root / "study", data)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os.write(write, json.dumps(disk.names).encode())
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        names = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, json.loads(names or "[]"), (root.parent / "output").read_text()


def _drive(study: Path, data: Path) -> int:
    from masll.common.command import run

    begun = (study / "spec.json").exists()
    asked = ["--resume", "--in-process"] if begun else ["--data", str(data), *ASKED]
    try:
        run(lambda _: search.main(["--study", str(any_path(study)), *asked]))
    except SystemExit as ended:
        return int(ended.code or 0)
