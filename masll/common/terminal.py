"""The terminal as it is written to by every command."""

from typing import Any

from rich.console import Console

from masll.common.escaping import for_terminal


class Terminal(Console):
    """One on which a text is what it says: brackets are no markup, and nothing moves the cursor."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def print(self, *objects: Any, **settings: Any) -> None:
        """As rich's own; control characters of texts by their names, but for ends of lines."""
        super().print(*map(_plain, objects), **settings)


def _plain(printed: Any) -> Any:
    if not isinstance(printed, str):
        return printed
    return "\n".join(map(for_terminal, printed.split("\n")))
