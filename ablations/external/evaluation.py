"""The evaluation of models on an external set: rows that are there stay, what is missing is run."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ablations.external.corrupted import Condition, corrupted
from ablations.external.dealt import Evaluate, evaluator
from ablations.external.images import ExternalSet, decoded
from ablations.external.models import ConfirmedModel, Inputs, inputs_of, missing
from ablations.external.overlap import Shown
from ablations.external.tables import CORNERS
from masll.common.errors import InputError
from masll.common.progress import progress_bar
from masll.data.split import Split
from masll.data.types import UNKNOWN
from masll.localization import mask_to_box
from tuning.study.damage import DamagedFile
from tuning.study.folder import ExternalFolder

_BLOCK = 64  # masks read at once
_LEFT = 600.0  # seconds without a write, after which the writer of half a file must have ended
_DIGEST = "digest"


@dataclass(frozen=True)
class Evaluation:
    """Models on an external set, as it is and corrupted, into a folder."""

    models: Sequence[ConfirmedModel]
    images: ExternalSet  # without those that are left out
    folder: ExternalFolder
    conditions: Sequence[Condition]
    parts: Sequence[str]  # what `--variant-from` names
    devices: Sequence[torch.device]  # models are dealt over several

    def run(self) -> None:
        """Evaluate what has no rows yet; images are decoded once for all models of one size.

        Models that look where lesion masks say get no rows where an image has none.

        Raises:
            InputError: an image or a model cannot be read, or the images are not those of before.
        """
        pending: dict[Condition | None, list[ConfirmedModel]] = {}
        for condition in (None, *self.conditions):
            rows = self.folder.rows(_name(condition))
            rows.remove_partials(unwritten=_LEFT)  # another process may evaluate, too
            pending[condition] = missing(self.models, rows)
        total, done = sum(map(len, pending.values())), 0
        by_inputs: dict[Inputs, list[ConfirmedModel]] = {}
        for model in self.models:
            by_inputs.setdefault(inputs_of(model)._replace(by_mask=False), []).append(model)
        with (
            progress_bar("evaluating", unit="models") as progress,
            evaluator(self.devices, self.parts) as evaluate,
        ):

            def count() -> None:
                nonlocal done
                done += 1
                progress(done, total)

            for inputs, models in by_inputs.items():
                left = {
                    condition: [model for model in models if model in of_all]
                    for condition, of_all in pending.items()
                }
                if any(left.values()):
                    self._run_at(inputs, left, evaluate, count)

    def _run_at(
        self,
        inputs: Inputs,
        pending: Mapping[Condition | None, Sequence[ConfirmedModel]],
        evaluate: Evaluate,
        count: Callable[[], None],
    ) -> None:
        """Evaluate the models that take images of one size and fit."""
        with contextlib.ExitStack() as files:
            with progress_bar("decoding images") as progress:
                clean, digests = files.enter_context(
                    decoded(self.images, inputs.source_size, inputs.fit, progress)
                )
            add_content(self.folder, clean, digests)
            masked = clean.masked is not None and bool(clean.masked.all())
            for condition, of_condition in pending.items():
                models = [each for each in of_condition if masked or not inputs_of(each).by_mask]
                if models:
                    with corrupted(clean, condition) as split:
                        evaluate(models, split, self.folder.rows(_name(condition)), count)


def image_rows(
    images: ExternalSet, shown: Mapping[str, Shown] | None, *, keep: bool = False
) -> pd.DataFrame:
    """What is known of each image before any is evaluated.

    Args:
        shown: see `shown_images`; None where nobody has looked.
        keep: whether images that the models have seen are evaluated all the same.

    Returns:
        A row for each image: image_id, label (null where it has none), compared (whether it was
        looked for among the study's images), shows (the study's image that it shows, or null),
        identical, similarity, left_out; then what `add_content` fills in, null as yet: digest, and
        x0 to y1, the lesion's rectangle as shares of the image.
    """
    rows = []
    for record in images.records:
        found = None if shown is None else shown.get(record.image_id)
        rows.append(
            {
                "image_id": record.image_id,
                "label": None if record.label == UNKNOWN else record.label,
                "compared": shown is not None,
                "shows": None if found is None else found.image_id,
                "identical": found is not None and found.identical,
                "similarity": np.nan if found is None else found.similarity,
                "left_out": found is not None and not keep,
                _DIGEST: None,
                **dict.fromkeys(CORNERS, np.nan),
            }
        )
    table = pd.DataFrame(rows)
    return table.astype({"label": "Int64", "shows": "string", _DIGEST: "string"})


def evaluated_in(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `image_rows` whose images are predicted."""
    return table[~table["left_out"]]


def judged_in(table: pd.DataFrame) -> pd.DataFrame:
    """Those of them that have a label: every figure is of these images, and of no others."""
    predicted = evaluated_in(table)
    return predicted[predicted["label"].notna()]


def write_images(folder: ExternalFolder, table: pd.DataFrame) -> None:
    """Write `image_rows` as images.parquet."""
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    folder.images.write_whole(content.getvalue(), many_writers=True)


def read_images(folder: ExternalFolder) -> pd.DataFrame | None:
    """What `write_images` wrote; None where there is nothing yet.

    Raises:
        InputError: it cannot be read.
    """
    if not folder.images.exists():
        return None
    try:
        table = pd.read_parquet(io.BytesIO(folder.images.read_bytes()))
        return table.astype({"label": "Int64", "shows": "string", _DIGEST: "string"})
    except (OSError, ValueError, KeyError) as error:  # Arrow's are of these
        raise DamagedFile(folder.images, error) from error


def add_content(folder: ExternalFolder, split: Split, digests: Sequence[str]) -> None:
    """Add digests and rectangles of lesions to images.parquet, or compare with those there.

    Args:
        split: the images that are evaluated.
        digests: of each of them.

    Raises:
        InputError: an image is another than it was when models were evaluated.
    """
    table = read_images(folder)
    assert table is not None
    place = {image_id: row for row, image_id in enumerate(table["image_id"])}
    rows = [place[image_id] for image_id in split.ids]
    before = table[_DIGEST].iloc[rows]
    changed = before.notna().to_numpy() & (before != pd.array(digests, "string")).fillna(False)
    if changed.any():
        other = split.ids[int(np.flatnonzero(changed)[0])]
        raise InputError(
            f"{other} is another image than models were evaluated on before; give another --name"
        )
    if before.notna().all():
        return
    table.loc[rows, _DIGEST] = np.array(digests, dtype=object)
    table.loc[rows, list(CORNERS)] = _rectangles(split)
    write_images(folder, table)


def _rectangles(split: Split) -> np.ndarray:
    """Rectangles of lesion masks as shares of the image, (N, 4); nan where there is no lesion."""
    found = np.full((len(split), 4), np.nan)
    if split.masks is None or split.masked is None:
        return found
    side = split.images.shape[-1]
    for start in range(0, len(split), _BLOCK):
        masks = torch.from_numpy(np.array(split.masks[start : start + _BLOCK])).bool()  # (B, S, S)
        there = masks.flatten(1).any(dim=1).numpy() & split.masked[start : start + _BLOCK]
        boxes = mask_to_box(masks).double().numpy() / side
        found[start : start + _BLOCK][there] = boxes[there]
    return found


def _name(condition: Condition | None) -> str | None:
    return None if condition is None else str(condition)
