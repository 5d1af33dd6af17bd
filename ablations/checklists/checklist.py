"""A checklist that a study answers in part: its items, as Markdown and as a table.

An item says what its authors have to add whatever the files say. What the files could say and do
not, as there is no spec.json or no confirmed model, is added to that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from ablations.formats import bullets, document
from ablations.rows import Study

SPEC, RESULTS = "spec.json", "results"  # what an answer stands on
COLUMNS = ("item", "section", "topic", "state", "answer", "authors_add")
_ABSENT: Mapping[str, str] = {
    SPEC: "what spec.json does not say",
    RESULTS: "the results, once models are confirmed",
}


class Item(NamedTuple):
    """One item of a checklist. The words are ours, the number is the checklist's."""

    number: str
    section: str
    topic: str
    authors: str = ""  # what no study's files can say; empty where they say it all
    stands_on: str = ""  # SPEC or RESULTS, without which the answer is not whole


class Entry(NamedTuple):
    """An item with what a study says to it."""

    item: Item
    answer: str  # Markdown; empty where the files say nothing
    authors_add: str  # empty where nothing is left to add

    @property
    def state(self) -> str:
        """`answered`, `partly` or `open`."""
        if not self.answer:
            return "open"
        return "partly" if self.authors_add else "answered"


def entries(items: Sequence[Item], answers: Mapping[str, str], study: Study) -> list[Entry]:
    """Every item with its answer.

    Args:
        answers: Markdown by number; an item without one, or with an empty one, is open.
    """
    absent = {
        SPEC: not study.spec.is_complete,
        RESULTS: study.test_predictions.empty,
    }
    made = []
    for item in items:
        answer = answers.get(item.number, "")
        lacks = _ABSENT[item.stands_on] if absent.get(item.stands_on) else ""
        # What the authors of an open item add covers what the files lack.
        left = [item.authors, lacks] if answer else [item.authors or lacks]
        made.append(Entry(item, answer, "; ".join(filter(None, left))))
    return made


class Checklist(NamedTuple):
    """A checklist as a study answers it."""

    name: str  # of its files
    heading: str
    source: str  # where it was published
    entries: list[Entry]

    def as_markdown(self, level: int) -> str:
        """The items that the files answer, each under a heading; then a list of the others.

        Args:
            level: of the headings.
        """
        states = [entry.state for entry in self.entries]
        parts = [
            f"{self.source} Of {len(states)} items the study's files answer "
            f"{states.count('answered')}, and {states.count('partly')} in part; "
            f"{states.count('open')} are the authors' own. The numbers are the checklist's, the "
            "words ours."
        ]
        rule = "#" * level
        for entry in self.entries:
            if entry.answer:
                parts += [f"{rule} {_heading(entry.item)}", entry.answer]
            if entry.answer and entry.authors_add:
                parts.append(f"*The authors add: {entry.authors_add}.*")
        left = [
            f"{_heading(entry.item)}: {entry.authors_add}."
            for entry in self.entries
            if not entry.answer
        ]
        if left:
            parts += [f"{rule} Open items, which the authors answer", bullets(left)]
        return "\n\n".join(parts)

    def as_document(self) -> str:
        """The same as a page of its own."""
        return document([f"# {self.heading}", self.as_markdown(level=2)])

    def as_table(self) -> pd.DataFrame:
        """A row of COLUMNS for each item; an answer is Markdown."""
        rows = [
            (*entry.item[:3], entry.state, entry.answer, entry.authors_add)
            for entry in self.entries
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def _heading(item: Item) -> str:
    return f"{item.number}. {item.topic}"
