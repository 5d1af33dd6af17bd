"""What names, ids and errors have to be turned into before they go out, one rule per place."""

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence

_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
}
# What GitHub and Jupyter would take for markup: a tag, an entity, a link, code, emphasis.
_MARKDOWN = re.compile(r"[\\|`*\[\]]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")
# Of these, what a whole document of ours never has: a tag, an entity, a link or picture. An odd
# number of backslashes before it has escaped it already.
_FOREIGN = re.compile(r"(?<!\\)((?:\\\\)*)(<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=[(\[]))")
_LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# C0 and C1 with DEL, line and paragraph separators, and what turns the direction of writing.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def for_html(text: str) -> str:
    """Text of an element, or of an attribute in quotes.

    >>> for_html('<b title="a">')
    '&lt;b title=&quot;a&quot;&gt;'
    """
    return html.escape(text)


def for_latex(text: str) -> str:
    r"""Text of a paragraph or a cell.

    >>> for_latex("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    """
    return "".join(_TEX.get(character, character) for character in _LINE_ENDS.sub(" ", text))


def for_markdown_cell(text: str) -> str:
    r"""A cell of a table, on one line.

    >>> for_markdown_cell("a|b <i> p < 0.001")
    'a\\|b \\<i> p < 0.001'
    """
    return _MARKDOWN.sub(lambda found: "\\" + found[0], _LINE_ENDS.sub(" ", text))


def for_markdown(text: str) -> str:
    r"""A document, whose own marks stay: no name in it opens a tag or an entity, or is a link.

    >>> for_markdown("**a** on <img src=x>, p < 0.001, [b](c)")
    '**a** on \\<img src=x>, p < 0.001, [b\\](c)'
    """
    return _FOREIGN.sub(r"\1\\\2", text)


def for_csv(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before it, as they have it.

    >>> for_csv("=1+1"), for_csv("-0.5"), for_csv("gated-fusion")
    ("'=1+1", '-0.5', 'gated-fusion')
    """
    dangerous = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if dangerous else text


def csv_lines(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table for programs and spreadsheets, None as nothing.

    >>> csv_lines(["image", "p"], [["=a.jpg", 0.5], ["b.jpg", None]])
    "image,p\n'=a.jpg,0.5\nb.jpg,\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow([for_csv(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def for_terminal(text: str) -> str:
    r"""One line in which nothing moves the cursor or sets a colour: control characters by name.

    >>> for_terminal("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
