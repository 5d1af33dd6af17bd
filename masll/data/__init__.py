"""Images for training: read once, decoded once, then shared by every process of a machine.

A source (`layouts`, `csv_source`, `synthetic_source`) lists records and reads single images;
`store` turns a source into memory-mapped arrays. `open_store` is the one door to both.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masll.data.sources import find_source
    from masll.data.split import Split
    from masll.data.store import ImageStore, open_store
    from masll.data.types import SPLITS, Record, Source

__all__ = ["SPLITS", "ImageStore", "Record", "Source", "Split", "find_source", "open_store"]

_WHERE = {
    **dict.fromkeys(("SPLITS", "Record", "Source"), "types"),
    **dict.fromkeys(("ImageStore", "open_store"), "store"),
    **{"Split": "split", "find_source": "sources"},
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first asked for: the options of a command need none."""
    if name in _WHERE:
        return getattr(importlib.import_module(f"masll.data.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'masll.data' has no attribute '{name}'")
