"""A small ablation from Enter to its table: ours, a plain script, and Ray Tune as usually written.

    python -m tests.benchmarks.end_to_end --data ISIC2017 [--images 2000] [--enlarge 6]

Five arms of two search trials and one confirmed seed, two epochs each, on the first images of the
training set; the ways take turns. Give it a machine of its own: processor seconds are those of the
whole machine, because Ray's processes are nobody's children. `--enlarge 6` makes images of native
size of those of 256 pixels, whose decoding is then what the others spend their time on. The test
AUC is the mean of five single networks, and says only that none has bought its time with it.
Targets: .5 of the plain script on native images, .75 on small ones, .4 of Ray Tune, as its own
example has it and (`tune-fast`) where it trains as the plain script does.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import psutil
from PIL import Image

from tests.benchmarks.goals import Goal
from tests.benchmarks.usual import BACKBONE, EPOCHS, HIGH, LOW, PIXELS, SEEDS, SOURCE, TRIALS

TUNE = 0.4
WAYS = ("ours", "plain", "tune", "tune-fast")
ROOT = Path(__file__).parents[2]


class Cost(NamedTuple):
    """What one run took, and how good its networks are."""

    seconds: float
    processor: float
    auc: float  # mean test AUC over the arms


def write_images(data: Path, folder: Path, count: int, enlarge: int) -> Path:
    """A CSV file of some images of a set's training split, dealt into three splits."""
    folder.mkdir()
    truth = pd.read_csv(data / "ISIC-2017_Training_Part3_GroundTruth.csv").head(count)
    rows = []
    for index, (image_id, melanoma) in enumerate(
        zip(truth["image_id"], truth["melanoma"], strict=True)
    ):
        name = f"{index}.jpg"
        with Image.open(data / "ISIC-2017_Training_Data" / f"{image_id}.jpg") as image:
            large = image.convert("RGB").resize((image.width * enlarge, image.height * enlarge))
            large.save(folder / name, quality=90)
        split = "train" if index % 10 < 7 else "validation" if index % 10 < 8 else "test"
        rows.append({"image": name, "label": int(melanoma), "split": split})
    table = folder / "images.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def ours(table: Path, scratch: Path) -> float:
    space = scratch / "space.toml"
    space.write_text(f"[lr]\nlow = {LOW}\nhigh = {HIGH}\ndefault = 1e-3\n")
    words = (
        f"tuning.search --data {table} --study {scratch}/study --backbones {BACKBONE} "
        f"--trials {TRIALS} --epochs {EPOCHS} --seeds {SEEDS} --scheduler none --space {space} "
        f"--image-size {PIXELS} --source-size {SOURCE} --set optimizer=adamw --validation official"
    )
    run(words, scratch)
    trials = pd.read_parquet(scratch / "study" / "trials")
    return float(trials["test_auc"].mean())


def usual(way: str, table: Path, scratch: Path) -> float:
    results = scratch / "results.csv"
    run(f"tests.benchmarks.usual {way} {table} {results}", scratch)
    return float(pd.read_csv(results)["test"].mean())


def run(words: str, scratch: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASLL_CACHE": str(scratch / "cache")}
    environment["RAY_AIR_NEW_OUTPUT"] = "0"
    with (scratch / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", *words.split()],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            check=True,
        )


def cost(way: str, table: Path) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        began, busy = time.monotonic(), busy_seconds()
        auc = ours(table, scratch) if way == "ours" else usual(way, table, scratch)
        return Cost(time.monotonic() - began, busy_seconds() - busy, auc)


def busy_seconds() -> float:
    """Processor seconds that the machine has spent so far."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def goals(data: Path, images: int) -> Iterator[Goal]:
    """Of a whole ablation, on images as they are and enlarged to native size."""
    for enlarge, what, target in ((1, "256 pixels", 0.75), (6, "native size", 0.5)):
        with tempfile.TemporaryDirectory() as folder:
            table = write_images(data, Path(folder) / "images", images, enlarge)
            own, plain = cost("ours", table), cost("plain", table)
            of = f"whole ablation of {images} images of {what}"
            yield Goal(f"{of}, over a plain script", own.seconds / plain.seconds, target)
            if enlarge == 1:
                for way, name in (("tune", "Ray Tune's example"), ("tune-fast", "a faster one")):
                    other = cost(way, table)
                    yield Goal(f"{of}, over {name}", own.seconds / other.seconds, TUNE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of ISIC 2017")
    parser.add_argument("--images", type=int, default=2000, help="(default: 2000)")
    parser.add_argument("--enlarge", type=int, default=1, help="times (default: 1, as they are)")
    parser.add_argument("--ways", nargs="+", default=[*WAYS], choices=WAYS)
    parser.add_argument("--rounds", type=int, default=1, help="of all ways (default: 1)")
    asked = parser.parse_args()
    targets = {"plain": 0.5 if asked.enlarge > 1 else 0.75, "tune": TUNE, "tune-fast": TUNE}
    with tempfile.TemporaryDirectory() as folder:
        table = write_images(asked.data, Path(folder) / "images", asked.images, asked.enlarge)
        costs: dict[str, list[Cost]] = {way: [] for way in asked.ways}
        for _ in range(asked.rounds):
            for way in asked.ways:
                costs[way].append(cost(way, table))
                print(
                    f"{way:9}"
                    + "{:8.0f} s{:8.0f} s of processors   AUC {:.3f}".format(*costs[way][-1])
                )
    for way in asked.ways:
        if way == "ours" or "ours" not in costs:
            continue
        pairs = list(zip(costs["ours"], costs[way], strict=True))
        clock = statistics.median(own.seconds / other.seconds for own, other in pairs)
        processor = statistics.median(own.processor / other.processor for own, other in pairs)
        met = "" if clock <= targets[way] else "  missed"
        print(
            f"ours / {way:9} {clock:.2f} by the clock, {processor:.2f} by processors; "
            f"target {targets[way]}{met}"
        )


if __name__ == "__main__":
    main()
