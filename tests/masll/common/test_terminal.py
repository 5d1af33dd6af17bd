"""What a study calls its arms, folders and errors reaches the terminal as it is, and no more."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from masll.common.terminal import Terminal, fitting_table
from tests.terminals import screen


def printed(text: str) -> str:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, width=80).print(text, soft_wrap=True)
    return file.getvalue()


def test_brackets_and_colons_are_no_markup_and_numbers_no_colour():
    assert printed("[red]arm[/] :skull: 0.93") == "[red]arm[/] :skull: 0.93\n"


def test_nothing_of_a_text_moves_the_cursor_or_sets_a_colour():
    assert printed("a\x1b[2Jb\rc\nd") == "a\\x1b[2Jb\\rc\nd\n"


ROWS = [{"arm": "gated-fusion", "AUC": "0.735 ± 0.055", "note": "a first look at real images"}]


def table(columns: int, *spare: str, **settings) -> list[str]:
    return screen(lambda c: c.print(fitting_table(c, ROWS, spare, **settings)), columns)


def test_a_narrow_table_leaves_out_spare_columns_and_breaks_no_word():
    assert table(80, "note")[-1].split("  ")[-1].strip() == "a first look at real images"
    assert table(40, "note")[-1].split() == ["gated-fusion", "0.735", "±", "0.055"]
    assert table(13, "note", "AUC")[-1] == "gated-fusion"


def test_prose_breaks_at_its_spaces():
    lines = table(54, prose=["note"])
    assert "gated-fusion" in lines[2] and lines[2].endswith("a first look at real")
    assert lines[3].strip() == "images"


@given(st.integers(20, 200))
@settings(max_examples=25, deadline=None)
def test_no_table_is_wider_than_its_terminal(columns):
    assert max(map(len, table(columns, "note", "AUC"))) <= columns
