"""Checks that several commands make, with the nearest known name where there is one."""

import difflib
from collections.abc import Collection

from masll.common.errors import InputError


def suggestion(name: str, known: Collection[str]) -> str:
    """`` (did you mean 'x'?)`` with the nearest known name, or nothing when none is near.

    >>> suggestion("ISIC2017", ["isic2016", "isic2017"])
    " (did you mean 'isic2017'?)"
    """
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), list(by_folded), n=1)
    return f" (did you mean '{by_folded[near[0]]}'?)" if near else ""


def check_choice(thing: str, value: str, choices: Collection[str]) -> None:
    """Raise `InputError` unless `value` is one of `choices`."""
    if value not in choices:
        known = ", ".join(choices)
        raise InputError(f"unknown {thing} '{value}'{suggestion(value, choices)}; one of: {known}")
