"""A map that shows nothing that was learned is told from one that does."""

import csv

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from masll import InputError, ModelConfig, build_model, localizer_audit, localizer_sanity
from masll.audit import AuditOptions, main
from masll.config import TrainConfig
from masll.data import find_source, open_store
from masll.data.split import Split
from masll.devices import lay_out
from masll.localizer_sanity import SHARES, drawn_anew, rank_correlation, sanity
from masll.model import Masll, save_model
from masll.training import Trainer
from tests.support import TINY_BACKBONE, assert_one_line_error, run_masll

OTHER = "another image"
SMALL = ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=64)


class Darkness(nn.Module):
    """A global branch whose map is the image's darkness, and whose weights do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return images.amax() - images.mean(dim=1, keepdim=True)  # (B, 1, S, S)


class Centre(nn.Module):
    """One whose map is its weights, around the centre of whatever image."""

    def __init__(self) -> None:
        super().__init__()
        distance = torch.linspace(-1, 1, 8).square()
        self.map = nn.Parameter(2 - distance[:, None] - distance)  # (8, 8)

    def forward(self, images: Tensor) -> Tensor:
        return self.map.expand(len(images), 1, 8, 8)


def with_branch(branch: nn.Module) -> Masll:
    model = build_model(SMALL).eval()
    model.global_branch = branch
    return model


@pytest.fixture(scope="module")
def splits(isic_master, cache) -> tuple[Split, Split]:
    store = open_store(find_source(str(isic_master)), 64, cache=cache)
    return store.split("train"), store.split("validation")


@pytest.fixture(scope="module")
def split(splits) -> Split:
    return splits[1]


def test_a_map_that_ignores_the_weights_is_the_same_without_them(split):
    *drawn, other = sanity(with_branch(Darkness()), split, seeds=2)
    assert [row.share for row in drawn] == list(SHARES)
    for row in drawn:
        assert (row.correlation, row.iou) == pytest.approx((1, 1))
        assert (row.correlation_low, row.iou_high, row.others) == pytest.approx((1, 1, 2))
    assert other.compared_with == OTHER and other.correlation < 0.95
    assert other.correlation_low < other.correlation < other.correlation_high
    assert other.iou < 1 and other.images == len(split)


def test_a_map_that_ignores_the_image_is_the_same_for_any_other(split):
    *drawn, other = sanity(with_branch(Centre()), split, seeds=1)
    assert (other.correlation, other.iou) == pytest.approx((1, 1))
    assert drawn[-1].correlation < 0.5, "its weights changed places"


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_network_loses_its_map_with_its_weights_whether_or_not_it_learned(splits, epochs):
    """So the check refutes a map that is none of the weights, and proves no lesion of others."""
    model = drawn_anew(build_model(SMALL), 1.0, splits[1], seed=7)
    if epochs:
        config = TrainConfig(epochs=epochs, batch_size=8, optimizer="adamw", lr=0.002)
        trainer = Trainer(SMALL, config, *splits, torch.device("cpu"))
        while not trainer.done:
            trainer.run_epoch()
        model = trainer.model
    *drawn, other = sanity(model, splits[1], seeds=1)
    assert drawn[-1].correlation_high < 0.9 and other.correlation_high < 0.95


def test_the_model_is_left_as_it_is(split):
    model = build_model(SMALL).train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    drawn = torch.get_rng_state()
    sanity(model, split, seeds=1)
    after = model.state_dict()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
    assert all(module.training for module in model.modules())
    assert torch.equal(drawn, torch.get_rng_state())


def test_layers_are_drawn_from_the_top_down_and_the_same_with_a_larger_share(split):
    model = build_model(SMALL)
    half, whole, again = (
        drawn_anew(model, share, split, seed).global_branch.state_dict()
        for share, seed in ((0.5, 1), (1.0, 1), (1.0, 2))
    )
    own = model.global_branch.state_dict()
    kernels = [name for name, values in own.items() if values.ndim == 4]
    kept = [name for name in kernels if torch.equal(half[name], own[name])]
    assert 0 < len(kept) < len(kernels) and kept == kernels[: len(kept)]
    for name in kernels:
        assert not torch.equal(whole[name], own[name])
        assert not torch.equal(whole[name], again[name])
        assert torch.equal(whole[name], half[name]) == (name not in kept)


def test_the_same_values_are_drawn_however_a_network_lies_in_memory(split):
    plain, laid_out = (
        drawn_anew(model, 1.0, split, seed=1).global_branch.parameters()
        for model in (build_model(SMALL), lay_out(build_model(SMALL), torch.device("cpu")))
    )
    assert all(map(torch.equal, plain, laid_out))


def test_batch_norms_that_are_drawn_anew_have_the_statistics_of_the_images(split):
    twin = drawn_anew(build_model(SMALL), 1.0, split, seed=1)
    norms = [each for each in twin.modules() if isinstance(each, nn.BatchNorm2d)]
    norm = next(each for each in norms if each in list(twin.global_branch.modules()))
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (own,) = sanity_view(twin, split)
    assert own.std() > 0
    mean = torch.cat(seen).mean(dim=(0, 2, 3))
    assert torch.allclose(norm.running_mean, mean, atol=1e-4)


def sanity_view(model: Masll, split: Split) -> list[Tensor]:
    from masll.localizer_audit import features_of

    return [features for features, _ in features_of(model, split)]


@pytest.mark.parametrize("levels", [3, 10**6])  # with ties, and without
def test_the_correlation_is_spearmans(levels):
    rng = np.random.default_rng(levels)
    a, b = rng.integers(levels, size=(2, 5, 40))
    found = rank_correlation(torch.from_numpy(a).float(), torch.from_numpy(b).float())
    expected = [spearmanr(*rows).statistic for rows in zip(a, b, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    flat = torch.ones(1, 40)
    assert rank_correlation(flat, flat).isnan().all(), "a flat map has no ranks"


def test_one_image_alone_has_no_other(split):
    with pytest.raises(InputError, match=r"validation images whose lesion mask .* there is 1;"):
        sanity(build_model(SMALL), split.select(np.array([0])))


def test_too_few_lesions_are_told_before_the_audit(isic_master, cache, tmp_path, monkeypatch):
    save_model(build_model(SMALL), tmp_path / "model")
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    monkeypatch.setattr(localizer_sanity, "lesioned", lambda _: np.array([0]))
    monkeypatch.setattr(localizer_audit, "audit", lambda *_: pytest.fail("audited first"))
    where = ("--data", str(isic_master), "--model", str(tmp_path / "model"))
    with pytest.raises(InputError, match="there is 1; choose another --split"):
        main([*where, "--device", "cpu", "--sanity"])


def test_seeds_without_sanity_are_refused():
    with pytest.raises(InputError, match="--seeds 2 belongs to --sanity"):
        AuditOptions(seeds=2)


@pytest.mark.slow
def test_the_command_prints_and_writes_what_the_check_found(isic_master, cache, tmp_path):
    save_model(build_model(SMALL), tmp_path / "model")
    few = ("--data", isic_master, "--scales", 1, "--sanity")
    where = ("--model", tmp_path / "model", "--out", tmp_path / "audit")
    result = run_masll("masll.audit", *few, "--seeds", 1, *where, cache=cache)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "audit" / "sanity.csv").read_text().splitlines()))
    assert [row["compared_with"] for row in rows][-2:] == ["all layers drawn anew", OTHER]
    for row in rows:
        shown = f"{row['compared_with']:<34}{float(row['correlation']):6.3f}"
        assert " ".join(shown.split()) in " ".join(result.stdout.split())
    assert "seeds 1 to 1" in result.stdout and "not what was learned" in result.stdout
    untrained = ("--backbone", TINY_BACKBONE, "--no-pretrained", "--image-size", 32)
    refused = run_masll("masll.audit", *few, *untrained, cache=cache)
    assert_one_line_error(refused, "--sanity", "--no-pretrained")
