"""What is not known of an image, as data sets write it: one rule for labels and metadata."""

_NOT_KNOWN = frozenset(("", "unknown", "nan", "na", "n/a"))


def is_known(text: str) -> bool:
    """Whether a cell of a table says anything.

    >>> is_known("male"), is_known("Unknown"), is_known(" NaN "), is_known("")
    (True, False, False, False)
    """
    return text.strip().casefold() not in _NOT_KNOWN
