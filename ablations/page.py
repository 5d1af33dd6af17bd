"""The page of a study: the notebook's body with a head, a table of contents and a style.

It is read on a desk and on a phone: nothing but a table or a figure is ever wider than the screen,
and these scroll in a box of their own. Nothing runs, and nothing is fetched.
"""

import re
from datetime import date

from masll.common.escaping import for_html
from tuning.study.spec import Spec

# Pictures and the style stand in the page.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
_STYLE = """\
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 0 auto;
       padding: 1rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; scroll-margin-top: 1rem; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums;
        display: block; max-width: 100%; overflow-x: auto; white-space: nowrap; margin: 1rem 0; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
pre, .output_png { overflow-x: auto; }
.study { color: #555; }
nav { box-sizing: border-box; border: 1px solid #ddd; padding: 0.5rem 1rem; font-size: 0.9rem; }
nav ol { margin: 0; padding-left: 1.2rem; }
a { color: #0173b2; }
@media (max-width: 40rem) {  /* a phone: letters in a figure stay large enough, and it scrolls */
  h1 { font-size: 1.5rem; }
  img { max-width: 36rem; }
  nav { max-height: 9rem; overflow-y: auto; }
  nav li { padding: 0.2rem 0; }
}
@media screen and (min-width: 76rem) {  /* a desk: the contents stay beside the text */
  body { max-width: 60rem; margin: 0 0 0 17rem; }
  nav { position: fixed; top: 0; left: 0; width: 15rem; height: 100%; overflow-y: auto;
        border-width: 0 1px 0 0; }
}
"""
_HEADING = re.compile(r"<h2[^>]*>(.*?)</h2>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


def page(name: str, spec: Spec, body: str, written: date) -> str:
    """A page in HTML.

    Args:
        name: of the study.
        body: HTML, with one heading of the first level and those of its parts of the second.
        written: what day it is.
    """
    parts, body = with_contents(body)
    title, end, rest = body.partition("</h1>")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Ablation: {for_html(name)}</title>",
            f"<style>\n{_STYLE}</style>",
            "</head>",
            "<body>",
            f"{title}{end}\n{_head(name, spec, written)}\n{parts}\n{rest}",
            "</body>",
            "</html>",
            "",
        ]
    )


def with_contents(body: str) -> tuple[str, str]:
    """A table of contents, and the body whose headings it leads to.

    >>> with_contents("<h2>The <b>arms</b></h2>")[1]
    '<h2 id="the-arms">The <b>arms</b></h2>'
    """
    entries: dict[str, str] = {}  # text by id

    def named(heading: re.Match[str]) -> str:
        text = _TAG.sub("", heading[1]).strip()
        own = re.sub(r"\W+", "-", text.lower()).strip("-")
        while own in entries:
            own += "-again"
        entries[own] = text
        return f'<h2 id="{own}">{heading[1]}</h2>'

    body = _HEADING.sub(named, body)
    lines = [f'<li><a href="#{own}">{text}</a></li>' for own, text in entries.items()]
    return "\n".join(['<nav aria-label="Contents"><ol>', *lines, "</ol></nav>"]), body


def _head(name: str, spec: Spec, written: date) -> str:
    """The study, its data and its dates, and its note."""
    data = spec.data
    counts = [
        f"{split} {images} images, {data.melanoma.get(split, 0)} melanoma"
        for split, images in data.images.items()
    ]
    facts = [
        f"Study <strong>{for_html(name)}</strong>",
        for_html(f"data {data.source or 'not recorded'}: {'; '.join(counts)}".rstrip(": ")),
        *([f"begun {for_html(spec.created_at[:10])}"] if spec.created_at else []),
        f'written <time datetime="{written}">{written}</time>',
    ]
    note = spec.options.get("note")
    lines = [f'<p class="study">{" · ".join(facts)}</p>']
    return "\n".join(lines + ([f"<p>{for_html(str(note))}</p>"] if note else []))
