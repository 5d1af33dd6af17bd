"""Near-duplicate images: the same photograph, or the same lesion taken twice, turned or not.

A lesion in the middle of pale skin correlates with any other such lesion. So images are compared
by their fine detail, its contrast evened out over the frame, and only after an affine registration:
copies then correlate to more than a half, different lesions to less than 0.4. Cheap comparisons of
thumbnails decide which pairs are registered at all.
"""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from masll.common.escaping import csv_lines
from masll.common.progress import Progress, progress_bar
from masll.common.storage import any_path
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.data.split import Pixels, pool
from masll.data.turns import INVERSE, TURNS, turned
from masll.data.types import SPLITS, Record

# On ISIC 2017 at 256 pixels, all 56 pairs from 0.52 up are the same lesion to the eye, and the
# first that is not has 0.39. In between lie two that are.
SIMILAR = 0.45
SIDE = 256  # of the stored images that are compared
_METHOD = 1  # raised when the same images would give other pairs
_NEIGHBOURS = 40  # of each image and turn, whose shift is estimated
_REGISTERED = 8  # pairs per image, whose registration is begun
# Side of the thumbnails in pixels, steps and step length of the registration, share of the pairs
# that goes on to the next level.
_LEVELS = ((32, 25, 0.02, 1 / 3), (64, 25, 0.008, 1 / 6), (128, 20, 0.004, 1.0))
_BATCH = 500


class Pair(NamedTuple):
    """Two images that show the same."""

    first: int  # rows, first < second
    second: int
    identical: bool  # byte by byte
    turn: str  # one of TURNS: what brings the second one to lie like the first
    similarity: float  # correlation of their detail after registration, 0 to 1


@torch.inference_mode()
def find_duplicates(
    images: npt.NDArray[np.uint8] | Pixels,
    digests: Sequence[str],
    progress: Progress | None = None,
    *,
    since: int = 0,
) -> list[Pair]:
    """All pairs of images that a person would call the same, in the order of their rows.

    Args:
        images: (N, 3, S, S); squares of at least 128 pixels see most.
        digests: of the original content of each image; equal ones are identical images.
        progress: called with stages done and stages in all.
        since: where the rows of a second set begin: only pairs of an image before it with one from
            it on are looked for, in time that grows with the product of both. 0 compares all.
    """
    if len(images) < 2 or since == len(images):
        return []
    stages = 3 + len(_LEVELS)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, stages)

    thumbnails = _thumbnails(images)
    step()
    pairs = _neighbours(thumbnails, since)
    step()
    pairs, maps = _shifted(thumbnails, pairs, _REGISTERED * (len(images) - since))
    step()
    similarity = torch.zeros(0)
    for side, steps, length, share in _LEVELS:
        similarity, maps = _register(thumbnails, pairs, maps, side, steps, length)
        best = similarity.argsort(descending=True, stable=True)
        best = best[: max(_BATCH, int(share * len(best)))]
        pairs, maps, similarity = pairs[best], maps[best], similarity[best]
        step()
    by_rows: dict[tuple[int, int], Pair] = {}
    for (first, second, turn), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
        if value >= SIMILAR and (first, second) not in by_rows:  # the best turn comes first
            by_rows[first, second] = Pair(first, second, False, TURNS[turn], value)
    for first, second in _equal(digests, since):
        by_rows[first, second] = Pair(first, second, True, TURNS[0], 1.0)
    return [by_rows[key] for key in sorted(by_rows)]


@dataclass(frozen=True)
class DuplicateReport:
    """The images of all splits, and which of them show the same."""

    records: list[Record]  # split by split, as the rows of the pairs count them
    images: Pixels
    pairs: list[Pair]

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Which images belong together, by the pairs or by the source's own groups, at any remove.

        Returns:
            (N,) the least row of each image's group.
        """
        named: dict[str, int] = {}
        joined = [(pair.first, pair.second) for pair in self.pairs]
        for row, record in enumerate(self.records):
            if record.group:
                joined.append((named.setdefault(record.group, row), row))
        group = np.arange(len(self.records))
        for first, second in joined:
            low, high = sorted((group[first], group[second]))
            group[group == high] = low
        return group

    def leaks(self) -> dict[str, list[str]]:
        """Images that a model learns from though it is judged by the same lesion later.

        Returns:
            Ids of training images with the validation and test images of their group, and ids of
            validation images with the test images of theirs.
        """
        together: dict[int, list[Record]] = {}
        for record, group in zip(self.records, self.groups.tolist(), strict=True):
            together.setdefault(group, []).append(record)
        later = {split: SPLITS[index + 1 :] for index, split in enumerate(SPLITS)}
        shown = {
            record.image_id: [r.image_id for r in of_group if r.split in later[record.split]]
            for of_group in together.values()
            for record in of_group
        }
        return {image_id: same for image_id, same in sorted(shown.items()) if same}


def duplicates_of(options: DataOptions, cache: Path | None = None) -> DuplicateReport:
    """Compare all images of a data set; what was found is kept beside the stored images.

    Raises:
        InputError: as `prepare` does.
    """
    store = prepare(dataclasses.replace(options, fit="squash"), SIDE, cache)
    splits = [store.split(name) for name in SPLITS]
    images = pool("all", splits).images
    assert isinstance(images, Pixels)
    digests = [digest for name in SPLITS for digest in store.listed(name)["digests"]]
    kept = store.folder / "duplicates.json"
    pairs = _read_pairs(kept)
    if pairs is None:
        with progress_bar("comparing images", unit="stages") as progress:
            pairs = find_duplicates(images, digests, progress)
        with contextlib.suppress(OSError):  # a store that others own: compared anew each time
            content = json.dumps({"method": _METHOD, "pairs": pairs})
            any_path(kept).write_whole(content, many_writers=True)
    return DuplicateReport(store.records, images, pairs)


def _read_pairs(path: Path) -> list[Pair] | None:
    try:
        kept = json.loads(path.read_text())
        return [Pair(*pair) for pair in kept["pairs"]] if kept["method"] == _METHOD else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_csv(path: Path, report: DuplicateReport) -> None:
    """A line for each pair: ids, labels (-1: nobody has said) and splits, what was found."""
    columns = ("image_id", "label", "split")
    names = [f"{which}_{column}" for which in ("first", "second") for column in columns]
    rows = []
    for pair in report.pairs:
        first, second = report.records[pair.first], report.records[pair.second]
        ids = [getattr(record, column) for record in (first, second) for column in columns]
        across = first.split != second.split
        rows.append([*ids, across, pair.identical, pair.turn, f"{pair.similarity:.3f}"])
    headings = [*names, "across_splits", "identical", "second_is", "similarity"]
    path.write_text(csv_lines(headings, rows))


def contact_sheets(
    report: DuplicateReport, *, per_sheet: int = 24, side: int = 160
) -> list[Image.Image]:
    """Pictures to look at: both images of each pair, the second turned to lie like the first.

    The least similar pairs come first: they are those to look at.

    Args:
        per_sheet: pairs on one picture, three in a row.
        side: of each image in pixels.
    """
    sheets = []
    pairs = sorted(report.pairs, key=lambda pair: pair.similarity)
    caption, gap = 34, 12
    width, height = 2 * side + gap, side + caption + gap
    font = ImageFont.load_default(12)
    for start in range(0, len(pairs), per_sheet):
        shown = pairs[start : start + per_sheet]
        sheet = Image.new("RGB", (3 * width, -(-len(shown) // 3) * height), "white")
        draw = ImageDraw.Draw(sheet)
        for cell, pair in enumerate(shown):
            left, top = cell % 3 * width, cell // 3 * height
            for column, row in enumerate((pair.first, pair.second)):
                record = report.records[row]
                text = f"{record.image_id}\n{record.split}{', melanoma' * record.label}"
                draw.text((left + column * side + 2, top), text, fill="black", font=font)
                pixels = torch.from_numpy(report.images[np.array([row])])
                if column:
                    pixels = turned(pixels, TURNS.index(pair.turn))
                picture = Image.fromarray(pixels[0].permute(1, 2, 0).contiguous().numpy())
                sheet.paste(picture.resize((side, side)), (left + column * side, top + caption))
            draw.text(
                (left + 4, top + caption + 2),
                f"{pair.similarity:.2f}  {pair.turn}",
                fill="white",
                stroke_fill="black",
                stroke_width=2,
                font=font,
            )
        sheets.append(sheet)
    return sheets


def _equal(digests: Sequence[str], since: int) -> list[tuple[int, int]]:
    """Each image with the first one of the same content; of two sets, with one of the first."""
    first: dict[str, int] = {}
    matches = [(first.setdefault(digest, row), row) for row, digest in enumerate(digests)]
    return [(low, high) for low, high in matches if low < (since or high) <= high]


def _thumbnails(images: npt.NDArray[np.uint8] | Pixels) -> Tensor:
    """Grey images of the last level's side: (N, T, T) uint8."""
    side = _LEVELS[-1][0]
    shrunk = []
    for start in range(0, len(images), 64):
        pixels = torch.from_numpy(np.array(images[start : start + 64])).float()
        grey = pixels.mean(dim=1, keepdim=True)  # (B, 1, S, S)
        shrunk.append(F.interpolate(grey, (side, side), mode="area")[:, 0].round().byte())
    return torch.cat(shrunk)


def _detail(thumbnails: Tensor, side: int, width: int = 5) -> Tensor:
    """Detail finer than some pixels, of even contrast: (B, T, T) uint8 -> (B, side, side)."""
    grey = F.interpolate(thumbnails[:, None].float(), (side, side), mode="area")  # (B, 1, s, s)
    fine = grey - _blurred(grey, width)
    # A contrast of two grey values is noise of the compression: not to be made much of.
    return (fine / (_blurred(fine * fine, 2 * width - 1) + 4).sqrt())[:, 0]


def _blurred(images: Tensor, width: int) -> Tensor:
    """Two passes of a box filter, which come near a Gaussian of half the width."""
    for _ in range(2):
        images = F.avg_pool2d(images, width, stride=1, padding=width // 2, count_include_pad=False)
    return images


def _neighbours(thumbnails: Tensor, since: int) -> Tensor:
    """The nearest images of each image, for each turn: (P, 3) of first, second, turn.

    Of two sets, the nearest of the first to each of the second.
    """
    count, side = len(thumbnails), _LEVELS[0][0]
    others = since or count
    nearest = min(_NEIGHBOURS, others - (not since))
    keys = [torch.zeros(0, dtype=torch.int64)]
    for width in (3, 9):  # fine detail tells more, coarse detail stands more of a shift
        detail = _detail(thumbnails, side, width)
        plain = _unit(detail)
        for turn in range(len(TURNS)):
            laid = _unit(turned(detail, turn)).T
            for start in range(since, count, _BATCH):
                rows = torch.arange(start, min(start + _BATCH, count))
                likeness = plain[rows] @ laid[:, :others]
                if not since:
                    likeness[torch.arange(len(rows)), rows] = -1
                other = likeness.topk(nearest, dim=1).indices  # (B, n)
                this = rows[:, None].expand_as(other)
                undone = torch.where(this < other, turn, INVERSE[turn])
                low, high = torch.minimum(this, other), torch.maximum(this, other)
                keys.append((((low * count) + high) * len(TURNS) + undone).flatten())
    key = torch.cat(keys).unique()
    pair = key // len(TURNS)
    return torch.stack([pair // count, pair % count, key % len(TURNS)], dim=1)


def _unit(detail: Tensor) -> Tensor:
    flat = detail.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-6)


def _shifted(thumbnails: Tensor, pairs: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The pairs most alike at their best shift, `most` of them, by circular cross-correlation.

    Returns:
        pairs (Q, 3), and maps (Q, 2, 3) from the first image's places to the second's.
    """
    side = _LEVELS[0][0]
    window = torch.hann_window(side, periodic=False)
    detail = _detail(thumbnails, side) * (window[:, None] * window).sqrt()
    unit = _unit(detail).view_as(detail)
    first = torch.fft.rfft2(unit)
    likeness = torch.zeros(len(pairs))
    peak = torch.zeros(len(pairs), dtype=torch.int64)
    for turn in range(len(TURNS)):
        second = torch.fft.rfft2(turned(unit, turn)).conj()
        for rows in (pairs[:, 2] == turn).nonzero()[:, 0].split(_BATCH):
            product = first[pairs[rows, 0]] * second[pairs[rows, 1]]
            highest = torch.fft.irfft2(product, (side, side)).flatten(1).max(dim=1)
            likeness[rows], peak[rows] = highest.values, highest.indices
    best = likeness.argsort(descending=True, stable=True)[:most]
    shift = torch.stack([peak[best] % side, peak[best] // side], dim=1)  # (Q, 2) of x, y
    shift = (shift + side // 2) % side - side // 2  # a long way right is a short way left
    maps = torch.eye(2, 3).repeat(len(best), 1, 1)
    maps[:, :, 2] = -2 * shift / side
    return pairs[best], maps


def _register(
    thumbnails: Tensor, pairs: Tensor, maps: Tensor, side: int, steps: int, length: float
) -> tuple[Tensor, Tensor]:
    """Improve affine maps by ascent on the correlation of what overlaps.

    After Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation
    Coefficient Maximization" (2008), with Adam as the optimizer.

    Returns:
        correlations (Q,), 0 where too little overlaps, and maps (Q, 2, 3).
    """
    correlations, improved = [torch.zeros(0)], [maps[:0]]
    for rows in torch.arange(len(pairs)).split(_BATCH):
        first = _detail(thumbnails[pairs[rows, 0]], side)
        second = _detail(thumbnails[pairs[rows, 1]], side)
        for turn in range(1, len(TURNS)):
            these = pairs[rows, 2] == turn
            second[these] = turned(second[these], turn)
        with torch.inference_mode(False), torch.enable_grad():
            first, second = first.clone(), second.clone()
            map_ = maps[rows].clone().requires_grad_()
            optimizer = torch.optim.Adam([map_], lr=length)
            for _ in range(steps):
                optimizer.zero_grad()
                correlation, overlap = _correlation(first, second, map_)
                loss = 10 * (0.5 - overlap).clamp(min=0) - correlation
                loss.sum().backward()
                optimizer.step()
        correlation, overlap = _correlation(first, second, map_.detach())
        correlations.append(correlation * (overlap > 0.4))
        improved.append(map_.detach())
    return torch.cat(correlations), torch.cat(improved)


def _correlation(first: Tensor, second: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Of images laid over each other by affine maps, where both are: (B,) each of

    the correlation, and the share of the first image that the second one covers.
    """
    grid = F.affine_grid(maps, [len(maps), 1, *first.shape[1:]], align_corners=False)
    laid = F.grid_sample(second[:, None], grid, align_corners=False)[:, 0]
    inside = (grid.abs().amax(dim=-1) <= 1).float()  # (B, s, s)
    area = inside.sum(dim=(1, 2)).clamp(min=1)

    def centred(values: Tensor) -> Tensor:
        mean = (values * inside).sum(dim=(1, 2)) / area
        return (values - mean[:, None, None]) * inside

    a, b = centred(first), centred(laid)
    size = ((a * a).sum(dim=(1, 2)) * (b * b).sum(dim=(1, 2))).clamp(min=1e-6).sqrt()
    return (a * b).sum(dim=(1, 2)) / size, area / first[0].numel()
