"""Times as a person says them."""

import math


def duration(seconds: float) -> str:
    """A time as a person says it; `?` where it is not known (nan).

    >>> duration(12.3), duration(75 * 60), duration(2 * 3600)
    ('12 s', '75 min', '2.0 h')
    """
    if math.isnan(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
