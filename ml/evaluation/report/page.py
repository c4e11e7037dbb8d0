"""An evaluation as one page that holds all it needs, for light, dark and paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from lexicon.words import NOTICE
from ml.evaluation.evaluate import LEAK_WARNING, Evaluation
from ml.evaluation.report.charts import draw
from ml.evaluation.report.parts import Chart, Matrix, Section, Table, code_of, name_of
from ml.evaluation.report.sections import sections, title

STYLE = Path(__file__).with_name("report.css")


def as_page(found: Evaluation, colours: Mapping[str, str]) -> str:
    """The whole evaluation as HTML with its style and pictures inside."""
    warning = f'<p class="warning">{escape(LEAK_WARNING)}</p>' if found.leaking else ""
    heading = f"<h1>{escape(title(found))}</h1><p>{found.images:,} images</p>{warning}"
    body = "\n".join(_section(section, found, colours) for section in sections(found))
    footer = f"<footer>{escape(found.model)} · {escape(found.digest)}<br>{escape(NOTICE)}</footer>"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title(found))}</title>\n"
        f"<style>\n{STYLE.read_text(encoding='utf-8')}{_paint(colours)}</style>\n</head>\n"
        f"<body>\n<header>{heading}</header>\n<main>\n{body}\n</main>\n{footer}\n{warning}\n</body>\n</html>\n"
    )


def _section(section: Section, found: Evaluation, colours: Mapping[str, str]) -> str:
    """A heading and what stands below it; charts that follow each other stand side by side."""
    blocks = []
    for together, parts in groupby(section.parts, lambda part: isinstance(part, Chart)):
        made = [_part(part, found, colours) for part in parts]
        blocks += [f'<div class="charts">{"".join(made)}</div>'] if together else made
    return f"<section>\n<h2>{escape(section.title)}</h2>\n" + "\n".join(blocks) + "\n</section>"


def _part(part: str | Table | Matrix | Chart, found: Evaluation, colours: Mapping[str, str]) -> str:
    if isinstance(part, Chart):
        return _chart(part, found)
    if isinstance(part, Matrix):
        return _matrix(part)
    return _table(part, colours) if isinstance(part, Table) else f"<p>{escape(part)}</p>"


def _chart(chart: Chart, found: Evaluation) -> str:
    picture = draw(chart.name, found)
    return f"<figure>{picture}<figcaption>{escape(chart.words)}</figcaption></figure>"


def _table(table: Table, colours: Mapping[str, str]) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    named = {name_of(label): label for label in colours}
    head = ""
    if any(table.head):
        cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
        head = f"<thead><tr>{cells}</tr></thead>"
    rows = "".join(_row(row, named) for row in table.rows)
    kind = "" if head else ' class="facts"'
    return _scrolling(f"<table{kind}>{caption}{head}<tbody>{rows}</tbody></table>")


def _row(row: Sequence[str], named: Mapping[str, str]) -> str:
    """A row; the name of a class goes with its colour and code."""
    first, *others = row
    label = named.get(first.rstrip("*"))
    chip = _chip(label) if label else ""
    cells = "".join(f"<td>{_value(cell)}</td>" for cell in others)
    return f'<tr><th scope="row">{chip}{escape(first)}</th>{cells}</tr>'


def _value(cell: str) -> str:
    """A number; its interval is set smaller, and below it where the page is narrow."""
    number, bracket, interval = escape(cell).partition(" [")
    return f"{number} <small>[{interval}</small>" if bracket else number


def _matrix(matrix: Matrix) -> str:
    """The matrix as a table, each cell shaded by its share of the true class."""
    head = "".join(
        f'<th scope="col"><abbr title="{name_of(label)}">{code_of(label)}</abbr></th>'
        for label in matrix.labels
    )
    rows = []
    for place, (label, counts) in enumerate(zip(matrix.labels, matrix.counts, strict=True)):
        shares = matrix.shares()[place]
        cells = "".join(
            _cell(count, share, column == place)
            for column, (count, share) in enumerate(zip(counts, shares, strict=True))
        )
        words = f'<span class="words">{escape(name_of(label))}</span>'
        name = f'<th scope="row">{_chip(label)}{words}</th>'
        rows.append(f"<tr>{name}{cells}<td>{sum(counts):,}</td></tr>")
    top = f'<tr><th scope="col">true</th>{head}<th scope="col">images</th></tr>'
    body = "".join(rows)
    return _scrolling(f'<table class="matrix"><thead>{top}</thead><tbody>{body}</tbody></table>')


def _scrolling(table: str) -> str:
    """The table in a frame that scrolls, by keys too, where the page is too narrow for it."""
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _cell(count: int, share: float, right: bool) -> str:
    if not count:
        return '<td class="none">·</td>'
    kind = "right" if right else "wrong"
    strong = " strong" if share > 0.5 else ""
    shade = f"--share:{100 * share:.0f}%"
    percent = f"<small>{100 * share:.1f} %</small>"
    return f'<td class="{kind}{strong}" style="{shade}">{count:,} {percent}</td>'


def _chip(label: str) -> str:
    return f'<span class="chip chip-{escape(label)}">{escape(code_of(label))}</span>'


def _paint(colours: Mapping[str, str]) -> str:
    return "".join(f".chip-{name}{{--class:{colour}}}\n" for name, colour in colours.items())
