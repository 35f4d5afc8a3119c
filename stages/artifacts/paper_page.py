"""The page of the paper's tables: one HTML file without anything from elsewhere, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby, pairwise

from stages.protocols.paper_tables import NONE, Row, Section, Table

_STYLE = """
:root { color-scheme: light dark; --line: #c9ced6; --quiet: #5b6470; --own: #eef4ff; --ground: #fff; --ink: #14181f; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4250; --quiet: #9aa4b2; --own: #1b2a44; --ground: #12151b; --ink: #e6e9ee; }
}
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; }
h2 { font-size: 1rem; margin: 2.5rem 0 .6rem; }
nav a { margin-right: 1rem; color: inherit; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
.group { text-align: center; border-bottom: 1px solid var(--line); }
.first { border-left: 1px solid var(--line); }
.text { text-align: left; }
tbody th { font-weight: 400; white-space: normal; min-width: 12.5rem; max-width: 19rem; position: sticky; left: 0;
  background: inherit; }
tbody tr { background: var(--ground); }
sup { line-height: 0; }
.quoted { color: var(--quiet); }
tbody .measured { background: var(--own); }
.from th, .from td { border-top: 1px solid var(--ink); }
.notes { color: var(--quiet); font-size: .87rem; padding-left: 1.1rem; }
.notes .row { list-style: none; }
.notes b { color: var(--ink); }
.notes, p { max-width: 60rem; }
""".strip()


def page(tables: Sequence[Table]) -> str:
    """All tables below each other; equal tables give equal text."""
    links = "\n".join(f'<a href="#{table.name}">{escape(_short(table))}</a>' for table in tables)
    parts = "\n".join(map(_table, tables))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeepCluster: the tables of section 4</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>Deep Clustering for Unsupervised Learning of Visual Features: the tables of section 4</h1>
<nav>{links}</nav>
{parts}
</body>
</html>
"""


def _short(table: Table) -> str:
    return f"Table {table.name.removeprefix('table')}" if table.name.startswith("table") else "Others"


def _table(table: Table) -> str:
    lines = [f'<h2 id="{table.name}">{escape(table.title)}</h2>']
    for section in table.sections:
        lines += ['<div class="wide">', "<table>", *_head(section), "<tbody>"]
        quoted = sum(row.quoted for row in section.rows)
        for number, row in enumerate(section.rows):
            lines.append(_row(row, section, table.letters(row), first=number == quoted > 0))
        lines += ["</tbody>", "</table>", "</div>"]
    lines.append('<ul class="notes">')
    lines += [f"<li>{escape(note)}</li>" for note in table.notes]
    lines += [f'<li class="row"><b>{letter}</b> {escape(note)}</li>' for note, letter in table.footnotes.items()]
    return "\n".join([*lines, "</ul>"])


def _head(section: Section) -> Iterator[str]:
    """One line of names, and above it one of groups where there are any."""
    groups = [(group, len([*columns])) for group, columns in groupby(section.columns, lambda column: column.group)]
    named = any(group for group, _ in groups)
    span = ' rowspan="2"' if named else ""
    before = "".join(f'<th class="text"{span}>{name}</th>' for name in ("Method", "Run"))
    before += f'<th{span}>Epochs</th><th class="text"{span}>Trained on</th>'
    starts = _starts(section)
    names = "".join(
        f'<th class="first">{escape(column.name)}</th>' if start else f"<th>{escape(column.name)}</th>"
        for column, start in zip(section.columns, starts, strict=True)
    )
    yield "<thead>"
    if named:
        above = "".join(f'<th class="group first" colspan="{count}">{escape(group)}</th>' for group, count in groups)
        yield f"<tr>{before}{above}</tr>"
        yield f"<tr>{names}</tr>"
    else:
        yield f"<tr>{before}{names}</tr>"
    yield "</thead>"


def _starts(section: Section) -> list[bool]:
    """Which columns begin a group."""
    groups = [None, *(column.group for column in section.columns)]
    return [before != group for before, group in pairwise(groups)]


def _row(row: Row, section: Section, letters: str, *, first: bool) -> str:
    """A line of the table.

    Args:
        first: whether it is the first that is measured, below others that are quoted.
    """
    kind = ("quoted" if row.quoted else "measured") + (" from" if first else "")
    method = escape(row.method) + (f" <sup>{letters}</sup>" if letters else "")
    epochs = "" if row.epochs is None else str(row.epochs)
    cells = [f'<th class="text" scope="row">{method}</th>', f'<td class="text">{escape(row.run)}</td>']
    cells += [f"<td>{epochs}</td>", f'<td class="text">{escape(row.trained_on)}</td>']
    for column, start in zip(section.columns, _starts(section), strict=True):
        cell = row.cells.get(column)
        text = NONE if cell is None else f"<b>{cell.text}</b>" if cell.best else escape(cell.text)
        cells.append(f'<td class="first">{text}</td>' if start else f"<td>{text}</td>")
    return f'<tr class="{kind}">{"".join(cells)}</tr>'
