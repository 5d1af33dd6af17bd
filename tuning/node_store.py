"""The study's images on the machine of a worker, prepared there if they are not there yet.

A process of its own looks at the data and compares the checksums of the store: the one that trains
opens no file of the test images, and learns none of their labels, before a model is confirmed.
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from masll.common.command import run
from masll.common.errors import InputError
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.data.store import ImageStore


def open_here(options: DataOptions, fingerprint: str) -> ImageStore:
    """The store of this machine; one process of a machine prepares it, the others wait.

    Args:
        fingerprint: of the images that the study began with.

    Raises:
        InputError: the images cannot be had here, or are not those.
    """
    prepared = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(options))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    here = f"node {platform.node()}"
    if prepared.returncode:
        reason = prepared.stderr.strip().splitlines()[-1:] or ["killed"]
        raise InputError(f"{here}: {reason[0].removeprefix('error: ')}")
    store = ImageStore(Path(prepared.stdout.splitlines()[-1]))
    if store.index["fingerprint"] != fingerprint:
        raise InputError(
            f"{here}: the images in '{options.data}' are not those the study began with "
            "(ids, labels, splits or content differ); put them back"
        )
    return store


def main(arguments: list[str] | None = None) -> int:
    """Prepare what the JSON of a `DataOptions` names, and print the store's folder."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    options = DataOptions(**json.loads(text))
    print(prepare(options, options.source_size or 0, for_training=True).folder)
    return 0


if __name__ == "__main__":
    run(main)
