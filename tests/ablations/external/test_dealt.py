"""Models dealt over several devices: what a process keeps, and that none outlives an interrupt."""

import multiprocessing
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations.external.dealt import Mapped, _Process, evaluator
from masll.data.split import Split


def mapped(folder: Path, name: str) -> Split:
    """A split of two images whose arrays lie in files."""
    np.save(folder / f"{name}.npy", np.zeros((2, 3, 4, 4), np.uint8))
    images = np.load(folder / f"{name}.npy", mmap_mode="r")
    return Split(name, ("a", "b"), np.array([0, 1]), images)


def test_a_process_opens_images_once_for_all_models_that_take_them(tmp_path):
    seen: list[Split] = []

    class Evaluator:
        def evaluate(self, model: str, images: Split, folder: Path) -> None:
            del model, folder
            seen.append(images)

    process = _Process(Evaluator())
    for name in ("clean", "clean", "blurred", "blurred"):
        sent = pickle.loads(pickle.dumps(Mapped.of(mapped(tmp_path, name))))
        process.evaluate("a model", sent, tmp_path)
    clean, again, blurred, blurred_again = seen
    assert clean is again and blurred is blurred_again
    assert (clean.name, blurred.name) == ("clean", "blurred")


@pytest.mark.slow  # a process imports PyTorch
@pytest.mark.parametrize("when", ["starting", "busy"])
def test_ctrl_c_waits_for_no_model(tmp_path, when, capfd):
    begun, part = tmp_path / "begun", tmp_path / "slow.py"
    part.write_text(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(600)\n")

    def interrupt() -> None:
        while not (multiprocessing.active_children() if when == "starting" else begun.exists()):
            time.sleep(0.01)
        interrupted.append(time.monotonic())
        for process in multiprocessing.active_children():  # as a terminal tells all of them
            os.kill(process.pid, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    interrupted: list[float] = []
    devices = 2 * [torch.device("cpu")]
    with pytest.raises(KeyboardInterrupt), evaluator(devices, [str(part)]) as evaluate:
        threading.Thread(target=interrupt).start()
        evaluate(["a model", "another"], mapped(tmp_path, "clean"), tmp_path, lambda: None)
    assert time.monotonic() - interrupted[0] < 5
    assert not multiprocessing.active_children()
    assert "Traceback" not in capfd.readouterr().err
