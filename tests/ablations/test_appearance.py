"""One description of a variant: another entry is all that another variant takes."""

import pytest

from ablations import figures
from ablations.appearance import in_order, look_of
from ablations.documents import write_report
from ablations.rows import read_study
from ablations.tables import ablation_table
from ablations.verdict import verdict
from masll import variants

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
SIXTH = variants.Variant(
    "without the sixth part",
    fuses_global=True,
    localizes=True,
    fusion="WeightedFeatureIntegration",
    lacks="the sixth part",
    colour="#123456",
    marker="*",
    line="-",
)


@pytest.fixture
def sixth(monkeypatch):
    monkeypatch.setitem(variants._ENTRIES, "sixth", SIXTH)
    return ("sixth", "resnet18")


def test_another_entry_is_all_that_verdict_tables_and_figures_need(build, sixth):
    build.whole(arms=(PLAIN, GATED, sixth), seeds=2)
    study = read_study(build.path)
    table = ablation_table(study)
    lines = verdict(study, table)
    assert any(line.startswith("Without the sixth part, on resnet18: ") for line in lines)
    written = {path.name for path in write_report(study, ("md", "csv", "tex", "figures"))}
    assert {"roc.png", "differences.png", "search.png", "budget.png", "boxes.png"} <= written
    lines = figures.roc_curves(study, table).axes[0].lines
    assert SIXTH.colour in {line.get_color() for line in lines}


def test_no_two_arms_look_alike_and_default_settings_are_hollow():
    arms = [*variants.VARIANTS, "whole", "centre", "shuffled", "darkness", "mask"]
    looks = [look_of(f"{name}/a") for name in arms]
    for part in ("colour", "marker", "line"):
        assert len({getattr(look, part) for look in looks}) == len(arms), part
    for name, look in zip(arms, looks, strict=True):
        default = look_of(f"{name}-default/a")
        assert default == look._replace(hollow=True) and default.face == "white"


@pytest.mark.usefixtures("sixth")
def test_arms_come_in_the_order_of_the_entries_and_strangers_last():
    arms = ["strange/a", "sixth/a", "gated-fusion/a", "baseline/b", "baseline/a"]
    assert in_order(arms) == ["baseline/a", "baseline/b", "gated-fusion/a", "sixth/a", "strange/a"]
    assert in_order(arms, "b") == ["baseline/b"]


def test_a_variant_that_this_version_does_not_know_is_shown_and_always_looks_alike(build):
    strange = ("of-a-later-version", "resnet18")
    name = build.whole(arms=(PLAIN, GATED), seeds=2).confirm(GATED, 9)
    for kind in ("trials", "predictions"):
        build.change(
            kind,
            name,
            lambda rows: rows.assign(
                arm="/".join(strange), **({"variant": strange[0]} if "variant" in rows else {})
            ),
        )
    study = read_study(build.path)
    assert "/".join(strange) in study.arms
    figure = figures.roc_curves(study, ablation_table(study))
    assert look_of("/".join(strange)).colour in {line.get_color() for line in figure.axes[0].lines}
    assert look_of("of-a-later-version/x") == look_of("of-a-later-version/y")
