"""`python -m masll.train`: one configuration, without Ray, resumable."""

import csv
import os
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch

from masll import load_model
from tests.support import ROOT, TINY_BACKBONE, assert_one_line_error, run_masll

pytestmark = pytest.mark.slow
SMALL = (
    f"--backbone {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 --batch-size 8"
).split()


def train(cache, *arguments):
    return run_masll("masll.train", *SMALL, *arguments, cache=cache)


def test_a_run_cut_short_and_resumed_ends_with_the_same_weights(isic_master, cache, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = ["--data", isic_master, "--epochs", 3]
    result = train(cache, *common, "--out", whole)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "importing PyTorch"
    assert (
        lines[1].startswith(f"gated-fusion on {TINY_BACKBONE}, ") and " M parameters, " in lines[1]
    )
    assert lines[2] == "24 training images, 6 melanoma; 12 validation images, 3 melanoma"
    assert [line.split()[1] for line in lines[3:6]] == ["1", "2", "3"]
    assert "python" in lines[-1] and f"masll.predict --model {whole} IMAGE" in lines[-1]

    assert not (whole / "training.pt").exists(), "it has served"
    again = train(cache, *common, "--out", whole, "--resume")
    assert again.returncode == 0 and f"its model is in {whole}" in again.stdout

    command = [sys.executable, "-m", "masll.train", *SMALL, *map(str, common), "--out", str(parts)]
    environment = {**os.environ, "MASLL_CACHE": str(cache)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    while not (parts / "training.pt").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert not (parts / "model.safetensors").exists(), "the kill came in time"

    assert train(cache, *common, "--out", parts, "--resume").returncode == 0
    weights = [safetensors.torch.load_file(f / "model.safetensors") for f in (whole, parts)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    rows = [
        list(csv.DictReader((f / "epochs.csv").read_text().splitlines())) for f in (whole, parts)
    ]
    for a, b in zip(*rows, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    assert load_model(parts).inputs.source_size == 48


def test_a_run_that_was_killed_in_its_first_epoch_begins_again(isic_master, cache, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "epochs.csv").write_text("epoch,train_loss\n1,0.7\n")
    (folder / ".training.pt.partial").write_bytes(b"half of it")
    arguments = ["--data", isic_master, "--epochs", 1, "--out", folder]
    assert_one_line_error(train(cache, *arguments), "add --resume")
    result = train(cache, *arguments, "--resume")
    assert result.returncode == 0, result.stderr
    left = ["config.json", "epochs.csv", "model.safetensors", "validation.csv"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_bad_input_is_one_line(isic_master, cache, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    for arguments, word in [
        (["--out", tmp_path / "full"], "is not empty"),
        (["--out", tmp_path / "new", "--resume"], "no run to resume"),
        (["--out", tmp_path / "full" / "file"], "is a file"),
        (["--out", tmp_path / "new", "--lr", "-1"], "lr must be positive"),
        (["--out", tmp_path / "new", "--source-size", 16], "source size must be from 32"),
        (["--out", tmp_path / "new", "--threads", 0], "threads must be from 1"),
        ([], "--out"),
    ]:
        assert_one_line_error(train(cache, "--data", isic_master, *arguments), word)
    assert not (tmp_path / "new").exists()
