"""Single test images on which gated-fusion and the baseline of its backbone disagree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ablations.appearance import new_figure
from ablations.rows import Study, backbone_of
from masll.common.errors import InputError
from masll.config import default_source_size
from masll.variants import PLAIN, REFERENCE

_EACH = 4  # cases of a kind on the sheet
_SIDE = 192  # of an image on it, in pixels
_LINE = "#40e0d0"  # turquoise: far from skin and lesion, for colour-blind readers too


class _Seen(NamedTuple):
    """A case as a confirmed model saw it."""

    image: npt.NDArray[np.uint8]  # (S, S, 3)
    activation: npt.NDArray[np.float32] | None  # (H, W); None without the model


def disagreements(study: Study, backbone: str) -> pd.DataFrame:
    """Test images that one of gated-fusion and baseline calls right at 0.5 and the other wrong.

    Both speak by their mean probability over seeds.

    Returns:
        Columns image_id, label, baseline, gated (probabilities), kind (`corrected` by gated-fusion
        or `erred`), and the box of gated-fusion's first seed; the largest change of probability
        first.
    """
    test = study.test_predictions
    arms = {"baseline": f"{PLAIN}/{backbone}", "gated": f"{REFERENCE}/{backbone}"}
    probabilities = {
        name: test[test["arm"] == arm].groupby("image_id")["score"].mean()
        for name, arm in arms.items()
    }
    gated = test[test["arm"] == arms["gated"]].sort_values("seed")
    one = gated.drop_duplicates("image_id").set_index("image_id")
    cases = (
        one[["label", "x0", "y0", "x1", "y1"]]
        .join(pd.DataFrame(probabilities), how="inner")
        .dropna()
    )
    right = {name: (cases[name] >= 0.5) == (cases["label"] == 1) for name in arms}
    cases = cases.assign(kind=np.where(right["gated"], "corrected", "erred"))
    cases = cases[right["gated"] != right["baseline"]]
    change = (cases["gated"] - cases["baseline"]).abs()
    return cases.loc[change.sort_values(ascending=False, kind="stable").index].reset_index()


def sheet_of_disagreements(study: Study) -> Figure | None:
    """Where gated-fusion corrects the baseline and where it errs, with its box and map.

    The images are read from the study's data, the maps computed by gated-fusion's first seed. One
    backbone: the first that has both variants.

    Returns:
        None without such cases, or where the images are not at hand.
    """
    arms = set(study.confirmed["arm"])
    backbones = [backbone_of(arm) for arm in study.arms if arm.startswith(f"{REFERENCE}/")]
    both = [b for b in backbones if {f"{PLAIN}/{b}", f"{REFERENCE}/{b}"} <= arms]
    if not both:
        return None
    images = disagreements(study, both[0])
    kinds = {
        kind: images[images["kind"] == kind].head(_EACH).to_dict("records")
        for kind in ("corrected", "erred")
    }
    shown = [case for cases in kinds.values() for case in cases]
    if not shown:  # both decide alike on every image
        return None
    views = _look_at(study, both[0], [case["image_id"] for case in shown])
    if not views:
        return None
    rows = [cases for cases in kinds.values() if cases]
    mapped = all(view.activation is not None for view in views.values())
    deep = 1 + mapped  # pictures of a case: with its box, with its map
    figure = new_figure(1.9 * _EACH, (2.05 * deep + 0.1) * len(rows) + 0.5)
    panels = figure.subplots(deep * len(rows), _EACH, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    for band, cases in enumerate(rows):
        for column, case in enumerate(cases):
            own = list(panels[deep * band : deep * (band + 1), column])
            _draw_case(own, case, views[case["image_id"]])
    counts = images["kind"].value_counts()
    figure.suptitle(
        f"{both[0]}, probability of melanoma by baseline, then by {REFERENCE} (mean over seeds)\n"
        f"above: {counts.get('corrected', 0)} images that {REFERENCE} corrects; "
        f"below: {counts.get('erred', 0)} where it errs and the baseline does not\n"
        f"(the largest changes; box{' and activation map' * mapped} of its first seed)",
        fontsize=8,
    )
    return figure


def _look_at(study: Study, backbone: str, names: Sequence[str]) -> dict[str, _Seen]:
    """The images by name, with their maps; nothing where the study's data is not at hand."""
    from masll.data.options import source_options
    from masll.data.sources import find_source

    options = study.spec.options
    arm = f"{REFERENCE}/{backbone}"
    seed = study.confirmed.loc[study.confirmed["arm"] == arm, "seed"].min()
    times = study.confirmations[arm]
    folder = study.folder.model(arm, seed, times)
    try:
        asked = source_options(options)
        source = find_source(asked.data, partial=True, rules=asked.rules)
        records = {record.image_id: record for record in source.records}
        image_size, fit = int(options["image_size"]), str(options["fit"])
        size = int(options["source_size"] or default_source_size(image_size))
        pixels = {name: source.read(records[name], size, fit).image for name in names}
    except (InputError, KeyError, TypeError):
        return {}
    import torch  # seconds to import, so not before there is something to look at

    from masll import load_model
    from masll.devices import lay_out
    from masll.pictures import as_input

    try:
        model = lay_out(load_model(folder), torch.device("cpu"))
    except InputError:
        return {name: _Seen(image, None) for name, image in pixels.items()}
    pictures = [Image.fromarray(each) for each in pixels.values()]
    with torch.inference_mode():
        maps = model(as_input(pictures, model.inputs)).activation_map
    assert maps is not None, "gated-fusion localizes"
    return {
        name: _Seen(image, activation.float().numpy())
        for (name, image), activation in zip(pixels.items(), maps, strict=True)
    }


def _draw_case(panels: Sequence[Axes], case: dict[str, object], view: _Seen) -> None:
    """The image with its box in the first panel, with its map, if there is one, in the second."""
    above = panels[0]
    picture = np.asarray(Image.fromarray(view.image).resize((_SIDE, _SIDE)))
    truth = "melanoma" if case["label"] == 1 else "no melanoma"
    title = f"{case['image_id']}\n{truth}: {case['baseline']:.2f}, {case['gated']:.2f}"
    above.set_title(title, fontsize=7, parse_math=False)  # a file may be named a$b$c
    above.imshow(picture)
    x0, y0, x1, y1 = (_SIDE * float(str(case[name])) - 0.5 for name in ("x0", "y0", "x1", "y1"))
    box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=_LINE, linewidth=1.5)
    above.add_patch(box)
    if view.activation is not None:
        whole = (-0.5, _SIDE - 0.5, _SIDE - 0.5, -0.5)
        panels[1].imshow(picture)
        panels[1].imshow(view.activation, cmap="viridis", alpha=0.55, extent=whole)
