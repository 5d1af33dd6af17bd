"""What a study calls its arms, folders and errors reaches the terminal as it is, and no more."""

import io

from masll.common.terminal import Terminal


def printed(text: str) -> str:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, width=80).print(text, soft_wrap=True)
    return file.getvalue()


def test_brackets_and_colons_are_no_markup_and_numbers_no_colour():
    assert printed("[red]arm[/] :skull: 0.93") == "[red]arm[/] :skull: 0.93\n"


def test_nothing_of_a_text_moves_the_cursor_or_sets_a_colour():
    assert printed("a\x1b[2Jb\rc\nd") == "a\\x1b[2Jb\\rc\nd\n"
