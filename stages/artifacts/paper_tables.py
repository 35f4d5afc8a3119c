"""The paper's tables as files: CSV for pandas, Markdown to paste, and one page that a browser shows.

tableN.csv     a row a number: table, method, run ("quoted" where the paper has it), epochs, trained_on, group, column,
               value (percent), mark (the paper's * and †), evaluation, measured_on, best
tableN.md      the table, and its notes
tables.html    all tables, in one file that needs no other
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from stages.artifacts.paper_page import page
from stages.artifacts.writing import make_folder, write_bytes
from stages.protocols.paper_tables import NONE, Row, Section, Table

PAGE = "tables.html"

HEAD = ("Method", "Run", "Epochs", "Trained on")
"""Names of the columns before those of numbers."""

_COLUMNS = (
    "table",
    "method",
    "run",
    "epochs",
    "trained_on",
    "group",
    "column",
    "value",
    "mark",
    "evaluation",
    "measured_on",
    "best",
)


def write_tables(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Writes a CSV and a Markdown file of each table, and the page of all; returns what was written."""
    make_folder(folder)
    files = {f"{table.name}.csv": as_csv(table) for table in tables}
    files |= {f"{table.name}.md": as_markdown(table) for table in tables}
    files[PAGE] = page(tables)
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    return [folder / name for name in files]


def as_csv(table: Table) -> str:
    """A table in tidy form."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for section in table.sections:
        for row in section.rows:
            method = row.method.rstrip("*")
            before = table.name, method, row.run, "" if row.epochs is None else row.epochs, row.trained_on
            for column in section.columns:
                if cell := row.cells.get(column):
                    mark = row.method[len(method) :] + cell.text.strip("0123456789.")
                    writer.writerow((*before, *column, cell.value, mark, cell.evaluation, cell.on, cell.best))
    return text.getvalue()


def as_markdown(table: Table) -> str:
    """A table with its notes."""
    lines = [f"**{table.title}**", ""]
    for section in table.sections:
        names = [" ".join(filter(None, column)) for column in section.columns]
        lines += [_line((*HEAD, *names)), _line([":--"] * len(HEAD) + ["--:"] * len(names))]
        lines += [_line(_cells(row, section, table)) for row in section.rows]
        lines.append("")
    lines += [f"- {_escaped(note)}" for note in table.notes]
    lines += [f"- ({letter}) {_escaped(note)}" for note, letter in table.footnotes.items()]
    return "\n".join(lines) + "\n"


def _cells(row: Row, section: Section, table: Table) -> list[str]:
    letters = table.letters(row)
    method = row.method + (f" ({letters})" if letters else "")
    before = method, row.run, "" if row.epochs is None else str(row.epochs), row.trained_on
    cells = [row.cells.get(column) for column in section.columns]
    numbers = [NONE if cell is None else f"**{cell.text}**" if cell.best else cell.text for cell in cells]
    return [*map(_escaped, before), *numbers]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    for sign in ("\\", "*", "|", "_", "<"):
        text = text.replace(sign, f"\\{sign}")
    return text
