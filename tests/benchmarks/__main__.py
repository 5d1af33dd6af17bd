"""Every figure that this project aims at, measured now, in one table.

    make bench                                              # some 20 minutes on two cores
    python -m tests.benchmarks --data ISIC2017              # and whole ablations, in others' ways
    python -m tests.benchmarks --only epoch driver

Give it a machine of its own. Ratios are within one run. What needs a GPU is measured where there is
one, and said to be left out elsewhere.
"""

import argparse
import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.goals import Goal
from tuning.ray_switches import set_switches


def main() -> int:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--data", type=Path, help="folder of ISIC 2017, for whole ablations")
    parser.add_argument("--images", type=int, default=400, help="of them (default: 400)")
    set_switches()  # before Ray is imported
    import torch

    from tests.benchmarks import end_to_end, engine, epoch, packed, seconds

    parts: dict[str, Callable[[], Iterator[Goal]]] = {
        "epoch": epoch.goals,
        "packed": packed.goals,
        "seconds": seconds.goals,
        "driver": engine.goals,
        "whole": lambda: end_to_end.goals(asked.data, asked.images),
    }
    parser.add_argument("--only", nargs="+", choices=parts, default=[*parts])
    asked = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {gpu}, PyTorch {torch.__version__}\n")
    print("| what | goal | measured | |\n| --- | --- | ---: | --- |", flush=True)
    missed = 0
    for name in asked.only:
        left_out = {"packed": gpu == "no GPU", "whole": asked.data is None}.get(name, False)
        if left_out:
            needs = "a GPU" if name == "packed" else "--data"
            print(f"| {name} | | needs {needs} | left out |", flush=True)
            continue
        for goal in parts[name]():
            missed += not goal.met
            print(goal.row(), flush=True)
    print(f"\n{missed} missed" if missed else "\nall met")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
