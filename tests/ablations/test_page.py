"""The page: its head names study, data and dates, and its contents lead to its parts."""

import re
from datetime import date

from ablations.page import page, with_contents
from tuning.study.spec import Spec

BODY = "<h1>Which part?</h1><p>x</p><h2>Arms</h2><table></table><h2>The <code>gate</code> & I</h2>"
SPEC = {
    "created_at": "2026-11-26T12:57:46+00:00",
    "options": {"note": "a <note>"},
    "data": {
        "source": "isic<2017",
        "images": {"train": 2000, "test": 600},
        "melanoma": {"train": 374, "test": 117},
    },
}


def written(spec: Spec, body: str = BODY) -> str:
    return page("paper & co", spec, body, date(2026, 11, 29))


def test_the_head_names_study_data_dates_and_note_below_the_title():
    text = written(Spec.from_json(SPEC))
    title, _, rest = text.partition("</h1>")
    assert "<title>Ablation: paper &amp; co</title>" in title
    head, _, parts = rest.partition("<nav")
    for words in (
        "Study <strong>paper &amp; co</strong>",
        "data isic&lt;2017: train 2000 images, 374 melanoma; test 600 images, 117 melanoma",
        "begun 2026-11-26",
        'written <time datetime="2026-11-29">2026-11-29</time>',
        "a &lt;note&gt;",
    ):
        assert words in head
    assert parts.index("Arms") < parts.index("<p>x</p>") < parts.index("<table>")


def test_a_study_without_a_spec_has_a_head_too():
    head = written(Spec()).partition("</h1>")[2].partition("<nav")[0]
    assert "data not recorded · written" in head and "begun" not in head


def test_the_contents_lead_to_headings_each_with_an_id_of_its_own():
    contents, body = with_contents(BODY + "<h2>Arms</h2><h3>Below</h3>")
    ids = re.findall(r'<h2 id="([^"]+)">', body)
    assert ids == ["arms", "the-gate-i", "arms-again"]
    assert re.findall(r'href="#([^"]+)"', contents) == ids
    assert "<h3>Below</h3>" in body and ">The gate & I</a>" in contents


def test_on_a_phone_tables_and_figures_scroll_in_boxes_of_their_own():
    text = written(Spec())
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert style.count("{") == style.count("}")
    rules = dict(re.findall(r"^([^\s@{][^{]*?) \{(.*?)\}", style, re.MULTILINE | re.DOTALL))
    assert "overflow-x: auto" in rules["table"] and "display: block" in rules["table"]
    assert "overflow-x: auto" in rules["pre, .output_png"]
    assert "max-width: 100%" in rules["img"]
    assert not re.search(r"(?<!max-)(?<!min-)width: \d{3,}px", style)
    assert re.findall(r"@media .*?\((.*?)\)", style) == ["max-width: 40rem", "min-width: 76rem"]
