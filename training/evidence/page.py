"""A page of titled sections with tables and pictures: one HTML file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

__all__ = ["Picture", "Section", "Table", "cell", "interval", "page"]

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; }
h1, h2, h3 { line-height: 1.2; } h2 { border-top: 1px solid #ccc; padding-top: 1.5rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } img { max-width: 100%; } figcaption, small { color: #555; }
.notice { background: #fff4d6; border-left: 4px solid #d99a00; padding: .5rem 1rem; }
</style>
<h1>{{ title }}</h1>
{% for text in notices %}<p class="notice">{{ text }}</p>
{% endfor %}
{%- for section in sections %}
<h{{ section.level }}>{{ section.title }}</h{{ section.level }}>
{%- for text in section.texts %}
<p>{{ text }}</p>
{%- endfor %}
{%- for table in section.tables %}
<table>
<tr>{% for cell in table.header %}<th>{{ cell }}</th>{% endfor %}</tr>
{%- for row in table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
{%- endfor %}
{%- for picture in section.pictures %}
<figure><img alt="{{ picture.caption }}" src="data:image/png;base64,{{ picture.data }}">
<figcaption>{{ picture.caption }}</figcaption></figure>
{%- endfor %}
{%- endfor %}
</html>
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text below a header of as many."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG in base64, and what it shows."""

    caption: str
    data: str

    @classmethod
    def of(cls, path: Path, caption: str) -> "Picture":
        """Read a PNG file."""
        return cls(caption, base64.b64encode(path.read_bytes()).decode("ascii"))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a level from 2 on, then paragraphs, tables and pictures."""

    title: str
    level: int = 2
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


def page(title: str, notices: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page as HTML, all text escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE, {"title": title, "notices": notices})
    text: str = template.render(sections=sections)
    return text + "\n"


def interval(found: Mapping[str, Any] | None) -> str:
    """Return a figure and its interval as a cell, empty where there is none."""
    if found is None or found["value"] is None:
        return ""
    if found["low"] is None:
        return cell(found["value"])
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def cell(value: object) -> str:
    """Return a value as a cell: four decimals, or thousands apart."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if type(value) is int else str(value)
