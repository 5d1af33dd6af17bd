"""A progress bar with rate and time left, for work that takes long."""

import contextlib
from collections.abc import Callable, Iterator

from tqdm import tqdm

Progress = Callable[[int, int], None]  # units done, units in all


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "images") -> Iterator[Progress]:
    """A bar with rate and time left, on a terminal, from the first image on that takes work."""
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            # Images that an earlier process had done count as done, but not for the rate.
            bar = tqdm(
                initial=max(0, done - 1),
                total=total,
                desc=what,
                unit=f" {unit}",
                disable=None,
                leave=False,
            )
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
