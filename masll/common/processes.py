"""Processes that work beside this one, and never outlive what they are there for."""

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any


@contextlib.contextmanager
def process_pool(
    count: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block: at once where an exception ends it, or this process.

    They are new, not forks: CUDA does not live on in a fork, nor do threads. To be given work with
    `interrupts_held`.

    Args:
        count: at most; each starts with the first work that there is for it.
        begin: what each does first, with `arguments`.
    """
    others = {*multiprocessing.active_children()}
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, spawn, _begin, (begin, arguments))
    try:
        yield pool
    except BaseException:  # Ctrl-C, or work that failed: what else is running need not go on
        for process in {*multiprocessing.active_children()} - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting while the block lasts, for this thread and all that it starts.

    A terminal sends it to every process; one that is still importing would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    atexit.register(gc.freeze)  # or it ends seconds later, after a look through all it imported
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    """A parent that is killed tells nobody, and this process would keep what it holds."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
