"""The state of a trial after one of its epochs, so that it can go on where it was interrupted.

STUDY/running/<trial_id>.pt, beside it the weights of the best epoch, which change less often.
Tensors and plain values only: no pickle is executed.
"""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from masll.results import EpochResult
from masll.states import load_state, save_state
from tuning.study.folder import StudyFolder

_TIMES_ITS_COST = 20  # seconds of training between two checkpoints, for each that one takes
_LONGEST = 600.0  # seconds of training between two checkpoints at most


@dataclass(frozen=True)
class Checkpoint:
    """A trial after one of its epochs."""

    epochs: list[EpochResult]
    seconds: float  # that it has kept a slot busy so far
    trainer: dict[str, Any]  # state_dict of its training run


class CheckpointWriter:
    """Writes a trial's checkpoints in a thread, from a copy, and no more often than that pays.

    With 20 times its own time between two, a checkpoint costs a trial a twentieth at most; with 10
    minutes at most, an interruption costs no more than that.

    Args:
        clock: seconds from anywhere.
    """

    def __init__(
        self, folder: StudyFolder, trial_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.trial_id, self._clock = folder, trial_id, clock
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._last: float | None = None  # when the last one was taken
        self._cost = 0.0  # seconds that it took, copy and all
        self._best: tuple[int, int] | None = None  # epoch of the best weights, number of their file

    def offer(self, take: Callable[[], Checkpoint]) -> bool:
        """Take a checkpoint and begin to write it, if it is time for one; whether it was.

        Args:
            take: gives the checkpoint; its tensors may change once this returns.
        """
        if not self._due():
            return False
        self._last = self._clock()
        taken = take()
        best = taken.trainer.get("best_weights")  # nobody writes into these: they need no copy
        copied = _on_cpu({**taken.trainer, "best_weights": None})
        checkpoint = Checkpoint(list(taken.epochs), taken.seconds, copied)
        self._writing = self._thread.submit(self._write, checkpoint, best)
        return True

    def close(self) -> None:
        """Wait until what is being written is written."""
        self._thread.shutdown()

    def _due(self) -> bool:
        if self._writing is not None and not self._writing.done():
            return False
        if self._last is None:
            return True
        since = self._clock() - self._last
        return since >= _LONGEST or since > _TIMES_ITS_COST * self._cost

    def _write(self, checkpoint: Checkpoint, best: dict[str, Tensor] | None) -> None:
        assert self._last is not None
        # A disk that is full costs the checkpoint, not the trial.
        with contextlib.suppress(OSError):
            number = self._write_best(checkpoint, best)
            save_state(
                self.folder.checkpoint(self.trial_id),
                {
                    "epochs": [asdict(epoch) for epoch in checkpoint.epochs],
                    "seconds": checkpoint.seconds,
                    "trainer": checkpoint.trainer,
                    "best_file": number,
                },
            )
            # The driver may have forgotten the trial meanwhile, which ended somewhere else.
            if not self.folder.begun(self.trial_id).exists():
                for path in self.folder.workers_files(self.trial_id):
                    path.unlink(missing_ok=True)
        self._cost = self._clock() - self._last

    def _write_best(self, checkpoint: Checkpoint, best: dict[str, Tensor] | None) -> int | None:
        """The number of the file that has the best weights: a new one if they are new."""
        if best is None:
            return None
        epoch = checkpoint.trainer["best"]["epoch"]
        if self._best is None or self._best[0] != epoch:
            number = 0 if self._best is None else 1 - self._best[1]
            save_state(
                self.folder.best_weights(self.trial_id, number), {"epoch": epoch, "best": best}
            )
            self._best = epoch, number
        return self._best[1]


def load_checkpoint(folder: StudyFolder, trial_id: str) -> Checkpoint | None:
    """Read a trial's last checkpoint; None where there is none that can be read."""
    try:
        state = load_state(folder.checkpoint(trial_id))
        trainer, number = state["trainer"], state.get("best_file")
        if number is not None:
            best = load_state(folder.best_weights(trial_id, number))
            if best["epoch"] != trainer["best"]["epoch"]:
                return None
            trainer["best_weights"] = best["best"]
        epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
        return Checkpoint(epochs, state["seconds"], trainer)
    except Exception:  # PyTorch and its unpickler raise many kinds, struct.error among them
        return None


def _on_cpu(state: Any) -> Any:
    """A copy of nested dictionaries and lists, all tensors on the CPU and nobody else's."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_on_cpu(value) for value in state]
    return state
