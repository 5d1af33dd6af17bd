"""How the files of a data set become labelled images in splits: the options of every reader."""

import sys
from typing import NamedTuple

from masll.data.dealing import Dealing
from masll.data.labelling import Labelling
from masll.data.types import SPLITS, Record


class Rules(NamedTuple):
    """What label texts mean, and whether images are dealt out to splits anew."""

    labelling: Labelling = Labelling()
    dealing: Dealing | None = None

    def in_splits(self, records: list[Record]) -> list[Record]:
        """The records split by split, in their order; a line on stderr says how many dealing omits.

        Raises:
            InputError: nothing can be dealt out, or a split stays without images.
        """
        if self.dealing is not None:
            dealt = self.dealing.deal(records)
            self.dealing.check(records, dealt)
            if omitted := len(records) - len(dealt):
                print(
                    f"--split-by {self.dealing} leaves out {omitted} images without a label",
                    file=sys.stderr,
                )
            records = dealt
        return sorted(records, key=lambda record: SPLITS.index(record.split))


AS_THEY_ARE = Rules()  # melanoma against the rest, in the splits of the data set itself
