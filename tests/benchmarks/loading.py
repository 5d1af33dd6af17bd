"""Images a second into the training loop: the store against timm's loader, side by side.

    python -m tests.benchmarks.loading [--data ISIC2017] [--native FOLDER]

Both deliver normalised float batches of 256 x 256 pixels. The store's loader turns every image by
any angle and flips it; timm's decodes the JPEG files in a worker process per core, once with the
random crops, flips and colour jitter that it has by default, once with flips alone. Each figure is
the median of rounds that take turns, on native-size JPEGs and on 256-pixel ones. The one-off
preparation is timed as well. Target: 40 and 2 times timm's loader, 1.8 times in preparing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.utils.data
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_loader

from masll.common.machine import usable_cores
from masll.data.csv_source import CsvSource
from masll.data.store import open_store
from masll.devices import keep_freed_memory
from masll.inputs import InputSpec
from masll.loading import Loader

SHARED = Path(__file__).parents[3] / "shared" / "data"
SIZE, BATCH, ROUNDS = 256, 15, 5


class Files(torch.utils.data.Dataset):
    """Image files, decoded when asked for, as timm's datasets do."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform: Callable = lambda image: image  # create_loader puts its own here

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), 0


def timm_loader(paths: list[Path], **augmentation):
    """timm's loader for training, with the augmentation that it has by default or another."""
    return create_loader(
        Files(paths),
        (3, SIZE, SIZE),
        BATCH,
        is_training=True,
        use_prefetcher=False,
        num_workers=usable_cores(),
        persistent_workers=True,
        **augmentation,
    )


FLIPS_ALONE = {
    "scale": (1.0, 1.0),
    "ratio": (1.0, 1.0),
    "vflip": 0.5,
    "color_jitter": None,
    "interpolation": "bilinear",
}


def rate(batches) -> float:
    """Images a second of one pass."""
    started, images = time.perf_counter(), 0
    for batch, _ in batches:
        images += len(batch)
    return images / (time.perf_counter() - started)


def prepared(paths: list[Path], cache: Path):
    """A store of the files, all in its train split, and the images a second of making it."""
    folder = cache / "links"
    folder.mkdir(parents=True)
    rows = ["image,label,split"]
    for number, path in enumerate(paths):
        (folder / f"{number}.jpg").symlink_to(path.resolve())
        rows.append(f"{number}.jpg,{number % 2},train")
    for split in ("validation", "test"):  # a store needs both classes in every split
        for label in (0, 1):
            Image.new("RGB", (8, 8)).save(folder / f"{split}{label}.png")
            rows.append(f"{split}{label}.png,{label},{split}")
    (folder / "files.csv").write_text("\n".join(rows))
    started = time.perf_counter()
    store = open_store(CsvSource(folder / "files.csv"), SIZE, cache=cache)
    return store.split("train"), len(paths) / (time.perf_counter() - started)


def compare(what: str, paths: list[Path], cache: Path) -> None:
    split, preparing = prepared(paths, cache)
    theirs = {
        "timm's loader": timm_loader(paths),
        "timm's loader, flips alone": timm_loader(paths, **FLIPS_ALONE),
    }
    for each in theirs.values():
        rate(each)  # its worker processes start, before this one changes how it keeps memory
    keep_freed_memory()  # as every command that trains does
    ours = Loader(
        InputSpec(SIZE, "squash", IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD), torch.device("cpu")
    )
    rates: dict[str, list[float]] = {name: [] for name in ("store", *theirs)}
    for seed in range(ROUNDS):
        draws = torch.Generator().manual_seed(seed)
        passes = [ours.training_batches(split, BATCH, draws) for _ in range(3)]
        rates["store"].append(statistics.median(map(rate, passes)))
        for name, each in theirs.items():
            rates[name].append(rate(each))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{what}: {len(paths)} images, medians of {ROUNDS} rounds")
    print(f"  {'store':<28}{middle['store']:7.0f} images/s, prepared at {preparing:.0f} images/s")
    for name in theirs:
        print(
            f"  {name:<28}{middle[name]:7.0f} images/s: the store gives "
            f"{middle['store'] / middle[name]:.1f} x, is prepared at "
            f"{preparing / middle[name]:.1f} x its speed"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "isic2017-256")
    parser.add_argument("--native", type=Path, default=SHARED / "isic2017-native-sample")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for what, folder, most in (("native size", given.native, 56), ("256", given.data, 750)):
            paths = sorted(folder.rglob("*.jpg"))[:most]
            if not paths:
                raise SystemExit(f"no JPEG files in {folder}; name another folder")
            paths *= max(1, most // len(paths))
            compare(f"{what} JPEG", paths, Path(scratch) / what.split()[0])


if __name__ == "__main__":
    main()
