"""Images for training: read once, decoded once, then shared by every process of a machine.

A source (`layouts`, `csv_source`, `synthetic_source`) lists records and reads single images;
`store` turns a source into memory-mapped arrays. `open_store` is the one door to both.
"""

from masll.data.sources import find_source
from masll.data.split import Split
from masll.data.store import ImageStore, open_store
from masll.data.types import SPLITS, Record, Source

__all__ = ["SPLITS", "ImageStore", "Record", "Source", "Split", "find_source", "open_store"]
