"""What goes out is read back as the text that it was, and does nothing else."""

import csv
import html
import io
import re

from hypothesis import example, given
from hypothesis import strategies as st

from masll.common.escaping import (
    for_csv,
    for_html,
    for_latex,
    for_markdown,
    for_markdown_cell,
    for_terminal,
)

_BACK = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    "$<$": "<",
    "$>$": ">",
    r"$\pm$": "±",
    "$-$": "\N{MINUS SIGN}",
}
_ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(st.text())
@example("<script>alert('1')</script>\"&amp;")
def test_html_holds_no_tag_or_quote_and_reads_back(text: str) -> None:
    escaped = for_html(text)
    assert not set("<>\"'") & set(escaped)
    assert html.unescape(escaped) == html.unescape(html.escape(text))
    assert (
        escaped.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
        == text
    )


@given(_ONE_LINE)
@example(r"\input{x} $a^b$ ~ 5 % # _ < > ±")
def test_latex_reads_back(text: str) -> None:
    special = "|".join(map(re.escape, _BACK))
    back = re.sub(
        special + r"|\\([{}$&%#_])", lambda found: _BACK.get(found[0], found[1]), for_latex(text)
    )
    assert back == text


@given(st.text(alphabet="\\{}$&%#_^~<>±\N{MINUS SIGN}ab"))
def test_latex_opens_as_many_groups_as_it_closes(text: str) -> None:
    escaped = re.sub(r"\\[{}$&%#_]", "", for_latex(text))
    assert escaped.count("{") == escaped.count("}")
    assert escaped.count("$") % 2 == 0
    assert not set("&%#_^~") & set(escaped)


@given(st.text())
@example("a|b\nc")
@example("\\|")
@example("<img src=x onerror=1> &lt; [a](b) `c` *d* _e_")
def test_a_markdown_cell_stays_one_cell_of_one_line(text: str) -> None:
    escaped = for_markdown_cell(text)
    assert len(f"{escaped}x".splitlines()) == 1
    bare = re.sub(r"\\[\\|`*\[\]<&_]", "", escaped)
    assert not set("|`*[]\\") & set(bare)
    assert not re.search(r"<[A-Za-z/!?]", bare)


@given(st.text(alphabet="\\\\<&;]([!/ab \n"))
@example("a <img src=x onerror=alert(1)> &lt; ![b](http://c) [b][c] \\\\<i>")
def test_a_document_in_markdown_holds_no_tag_entity_or_link(text: str) -> None:
    escaped = for_markdown(text)
    bare = re.sub(r"\\.", " ", escaped, flags=re.DOTALL)  # without what is escaped
    assert not re.search(r"<[A-Za-z/!?]|&#?\w+;|\][(\[]", bare)
    assert for_markdown(escaped) == escaped, "what is escaped stays"


@given(_ONE_LINE)
def test_a_markdown_cell_reads_back(text: str) -> None:
    assert re.sub(r"\\([\\|`*\[\]<&_])", r"\1", for_markdown_cell(text)) == text


@given(st.text(alphabet="=+-@\t\r1.e|cmda"))
@example("=HYPERLINK(1)")
@example("-1+cmd|a")
@example("\t=1")
def test_a_csv_cell_begins_no_formula_unless_it_is_a_number(text: str) -> None:
    escaped = for_csv(text)
    if escaped[:1] in set("=+-@\t\r"):
        float(escaped)
    assert escaped.removeprefix("'") == text
    out = io.StringIO()
    csv.writer(out).writerow([escaped, "end"])
    assert next(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [escaped, "end"]


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_in_csv_stays_a_number(value: float) -> None:
    assert for_csv(str(value)) == str(value)


@given(st.text())
@example("\x1b]0;title\x07\x9b31m\r\n\u202e")
def test_a_terminal_gets_no_control_character(text: str) -> None:
    shown = for_terminal(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


@given(_ONE_LINE.filter(str.isprintable))
def test_printable_text_is_shown_as_it_is(text: str) -> None:
    assert for_terminal(text) == text
