"""How far work is that takes long: a bar with rate and time left, or a line now and then."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

_SILENCE = 30.0  # seconds between two lines where there is no terminal

Progress = Callable[[int, int], None]  # units done, units in all


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "images") -> Iterator[Progress]:
    """A bar with rate and time left, from the first unit on that takes work.

    Without a terminal a line on stderr every half minute takes its place.
    """
    bar: tqdm | None = None
    told = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal bar, told
        if not sys.stderr.isatty():
            if time.monotonic() >= told + _SILENCE:
                told = time.monotonic()
                print(f"{what}: {done} of {total} {unit}", file=sys.stderr, flush=True)
            return
        if bar is None:
            # Images that an earlier process had done count as done, but not for the rate.
            bar = tqdm(
                initial=max(0, done - 1),
                total=total,
                desc=what,
                unit=f" {unit}",
                leave=False,
                dynamic_ncols=True,
            )
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
