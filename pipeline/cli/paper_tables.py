"""The paper's tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from stages.artifacts.paper_tables import HEAD
from stages.protocols.paper_tables import NONE, Cell, Row, Section, Table

_ANY_WIDTH = 10_000


class Printed:
    """A table as rich prints it: quoted rows dim, the best numbers bold, its notes below."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.table.title, "bold")
        for section in self.table.sections:
            whole = self._drawn(section)
            # As wide as it would be; measured by the options as they are, nothing is wider than the terminal.
            needed = Measurement.get(console, options.update_width(_ANY_WIDTH), whole).maximum
            if needed <= options.max_width:
                yield whole
            else:
                yield from (self._drawn(part, between=1) for part in _by_group(section))
            yield Text()
        for note in self.table.notes:
            yield Text(note, "dim")
        for note, letter in self.table.footnotes.items():
            yield Text(f"{letter}: {note}", "dim")
        yield Text()

    def _drawn(self, section: Section, between: int = 2) -> RichTable:
        """A section with so many blanks between columns."""
        drawn = RichTable(box=None, pad_edge=False, padding=(0, between, 0, 0))
        before = [[*self._head(row)] for row in section.rows]
        # Of a table that quotes alone, nothing says how long was trained.
        shown = [place for place in range(len(HEAD)) if any(cells[place].plain for cells in before)]
        for place in shown:
            drawn.add_column(HEAD[place], vertical="bottom", justify="right" if HEAD[place] == "Epochs" else "left")
        group = ""
        for column in section.columns:
            above = "" if column.group == group else column.group
            name = f"{above}\n{column.name}" if column.group else column.name
            drawn.add_column(name, vertical="bottom", justify="right", no_wrap=True)
            group = column.group
        for row, cells in zip(section.rows, before, strict=True):
            numbers = [self._number(row.cells.get(column)) for column in section.columns]
            drawn.add_row(*(cells[place] for place in shown), *numbers, style="dim" if row.quoted else "")
        return drawn

    def _head(self, row: Row) -> Iterator[Text]:
        letters = self.table.letters(row)
        yield Text(row.method + (f" ({letters})" if letters else ""))
        yield Text(row.run)
        yield Text("" if row.epochs is None else str(row.epochs))
        yield Text(row.trained_on)

    def _number(self, cell: Cell | None) -> Text:
        return Text(NONE) if cell is None else Text(cell.text, "bold" if cell.best else "")


def _by_group(section: Section) -> Iterator[Section]:
    """A section in as many as it has groups of columns, for a narrow terminal."""
    for group in dict.fromkeys(column.group for column in section.columns):
        columns = tuple(column for column in section.columns if column.group == group)
        rows = tuple(row for row in section.rows if not row.cells.keys().isdisjoint(columns))
        yield replace(section, columns=columns, rows=rows)
