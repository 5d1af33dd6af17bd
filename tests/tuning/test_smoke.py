"""The smoke test of a machine with GPUs, as far as one without can run it."""

import pytest
import torch

from masll.common.errors import InputError
from tuning import smoke, smoke_checks

CPU = ["--device", "cpu", "--backbone", "test_resnet", "--image-size", "64"]


def rows(printed: str) -> dict[str, list[str]]:
    """Cells of the page by the name of the check."""
    cells = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith("|")]
    return {name.strip(): [cell.strip() for cell in others] for name, *others in cells[2:]}


def test_the_page_has_a_line_for_each_check_with_what_was_seen(capsys, monkeypatch):
    def fails(_):
        raise RuntimeError("CUDA error: unspecified launch failure\nand more")

    quick = {name: smoke_checks.CHECKS[name] for name in ("driver", "bfloat16", "crop")}
    monkeypatch.setattr(smoke_checks, "CHECKS", quick | {"broken": fails})
    assert smoke.main(CPU) == 1
    page = rows(capsys.readouterr().out)
    assert page["driver"][:2] == page["bfloat16"][:2] == ["skipped", "needs a GPU"]
    assert page["crop"][0] == "ok" and "1,024 pixels" in page["crop"][1]
    assert page["broken"][:2] == [
        "**FAILED**",
        "RuntimeError: CUDA error: unspecified launch failure and more",
    ]
    monkeypatch.setattr(smoke_checks, "CHECKS", quick)
    assert smoke.main(CPU) == 0


@pytest.mark.parametrize(("fault", "words"), [("loss", "loss is off"), ("gradient", "cosine")])
def test_a_device_that_computes_something_else_is_found(monkeypatch, fault, words, tmp_path):
    here = smoke_checks.Here("test_resnet", 64, torch.device("cpu"), 0, tmp_path)
    assert "five variants" in smoke_checks._steps(here)
    honest, calls = torch.nn.functional.cross_entropy, []

    def second_is_wrong(logits, labels):
        calls.append(1)
        loss = honest(logits, labels)
        if len(calls) % 2:
            return loss
        return loss + 1 if fault == "loss" else 2 * float(loss.detach()) - loss

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", second_is_wrong)
    with pytest.raises(InputError, match=words):
        smoke_checks._steps(here)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPUs")
def test_without_a_gpu_it_is_one_line():
    with pytest.raises(InputError, match="no GPU can be used on"):
        smoke.main([])


@pytest.mark.soak
def test_a_study_is_killed_and_resumed_by_it(tmp_path):
    here = smoke_checks.Here("densenet121", 224, torch.device("cpu"), 0, tmp_path)
    assert smoke_checks._packed(here).startswith("6 trials, on the CPU; killed after ")
