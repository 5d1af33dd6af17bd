"""One search at a time where there are no locks: a lease that its holder renews.

That is so on S3, and on some file systems of clusters.

The object STUDY/.lock names the holder, and when it last said that it is alive. It is taken over
once it has not been renewed for some minutes, or at once where its process has run on this machine
and is dead. S3 cannot write an object only if nobody else has: who writes looks again after a
moment, and at each renewal, and whoever does not find itself there steps back. Clocks may differ
by two minutes.
"""

import _thread
import contextlib
import datetime
import json
import os
import platform
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from masll.common.errors import InputError
from masll.common.storage import AnyPath

_RENEWED_EVERY = 20.0  # seconds
_STALE_AFTER = 180.0
_SETTLES = 1.0  # so long a write of somebody who has seen no lease may still be on its way


@contextlib.contextmanager
def hold_lease(path: AnyPath) -> Iterator[None]:
    """Keep other searches out of a study. Ctrl-C is what a lost lease looks like.

    Raises:
        InputError: another process holds it, or the place cannot be written to.
    """
    mine = {
        "id": uuid.uuid4().hex,
        "process": os.getpid(),
        "host": platform.node(),
        "since": f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}",
    }
    if (process := lease_holder(path)) is not None:
        raise held_error(path.parent, process)
    try:
        _renew(path, mine)
        time.sleep(_SETTLES)
        settled = _is(path, mine)
    except OSError as error:
        raise InputError(f"cannot write the study {path.parent}: {error.strerror}") from error
    if not settled:
        raise held_error(path.parent, lease_holder(path))
    ends = threading.Event()
    renewing = threading.Thread(target=_keep, args=(path, mine, ends), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ends.set()
        renewing.join()
        with contextlib.suppress(OSError):
            if _is(path, mine):
                path.unlink()


def lease_holder(path: AnyPath) -> str | None:
    """Who searches in a study now; None if nobody does."""
    lease = _read(path)
    if lease is None or time.time() - lease["renewed"] > _STALE_AFTER:
        return None
    if lease["host"] == platform.node() and not _runs(lease["process"]):
        return None
    return f"process {lease['process']} on {lease['host']}, since {lease['since']}"


def held_error(folder: object, process: str | None) -> InputError:
    """That a study is held, and by whom."""
    return InputError(f"{folder} is held by {process}; wait until it ends, or stop it")


def _keep(path: AnyPath, mine: dict[str, Any], ends: threading.Event) -> None:
    """Renew until the end; stop the search if somebody else has taken the lease."""
    while not ends.wait(_RENEWED_EVERY):
        with contextlib.suppress(OSError):  # S3 may be away for a while
            lease = _read(path)
            if lease is not None and lease["id"] != mine["id"]:
                print(f"another search has taken {path.parent}; stopping", file=sys.stderr)
                _stop_search()
                return
            _renew(path, mine)


def _stop_search() -> None:
    """As Ctrl-C does; in a background job of a script, which ignores that, as `kill` does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _thread.interrupt_main()


def _renew(path: AnyPath, mine: dict[str, Any]) -> None:
    path.write_whole(json.dumps(mine | {"renewed": time.time()}), many_writers=True)


def _is(path: AnyPath, mine: dict[str, Any]) -> bool:
    lease = _read(path)
    return lease is not None and lease["id"] == mine["id"]


def _read(path: AnyPath) -> dict[str, Any] | None:
    """What the lease says; None where there is none, or none that can be read."""
    try:
        lease = json.loads(path.read_bytes())
        return lease if {"id", "process", "host", "since", "renewed"} <= set(lease) else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True
