"""Writing behind: the newest content of files on a slow place, by threads of their own.

For what may be lost, as how far a trial is: a request to S3 takes some forty milliseconds, and a
search of many slots that waited for each would stand still.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from masll.common.storage import AnyPath

_THREADS = 8


class WriteBehind:
    """Writes files soon. One that is written again before its turn is written once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="write-behind")
        self._lock = threading.Lock()
        self._waiting: dict[AnyPath, str] = {}
        self._writing: dict[AnyPath, Future[None]] = {}
        self._failed: OSError | None = None

    def write(self, path: AnyPath, content: str) -> None:
        """Have a file written.

        Raises:
            OSError: an earlier file could not be; said once.
        """
        with self._lock:
            failed, self._failed = self._failed, None
            self._waiting[path] = content
            if path not in self._writing:
                self._writing[path] = self._threads.submit(self._write_newest, path)
        if failed is not None:
            raise failed

    def settle(self, path: AnyPath) -> None:
        """Come to an end with a file: afterwards nothing that was asked before is written."""
        with self._lock:
            self._waiting.pop(path, None)
            writing = self._writing.get(path)
        if writing is not None:
            writing.result()

    def _write_newest(self, path: AnyPath) -> None:
        while True:
            with self._lock:
                content = self._waiting.pop(path, None)
                if content is None:
                    del self._writing[path]
                    return
            try:
                path.write_whole(content)
            except OSError as error:
                with self._lock:
                    self._failed = error
