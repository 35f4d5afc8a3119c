"""The paper's tables with the rows of runs below those that are quoted: plain data, for whoever prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from stages.protocols.measured import BESIDE, Result, method, notes, on, placed, trained_on
from stages.protocols.quoted import QUOTED, Column, QuotedRow, QuotedTable

NONE = "—"
"""In place of a number that there is none of."""

QUOTED_RUN = "quoted"
"""In place of a run's name, in a row of the paper."""


@dataclass(frozen=True)
class Cell:
    """A number.

    Attributes:
        value: in percent.
        text: as it is printed, with the paper's mark.
        evaluation, on: what measured it, and on which data; "" where it is quoted.
        best: whether it is the highest that was measured in its column on the same data.
    """

    value: float
    text: str
    evaluation: str = ""
    on: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        run: its name, or `QUOTED_RUN`.
        epochs: that its network was trained; None where the paper's table does not say.
        trained_on: the data, "" where the paper's table does not say.
        cells: by column.
        notes: what must be known of it, a sentence each.
    """

    method: str
    run: str
    epochs: int | None
    trained_on: str
    cells: dict[Column, Cell]
    notes: tuple[str, ...] = ()

    @property
    def quoted(self) -> bool:
        return self.run == QUOTED_RUN


@dataclass(frozen=True)
class Section:
    """A part of a table, whose rows are those that have numbers in its columns.

    Attributes:
        rows: those of the paper first, as it has them.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: such as table1; of what the paper has in no table, others.
        sections: the paper's own, then one for each further set of pictures that was tested on.
        notes: what must be known of all its numbers.
    """

    name: str
    title: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    @property
    def footnotes(self) -> dict[str, str]:
        """A letter for each note of a row, in the order of rows; the same note has one letter."""
        every = dict.fromkeys(note for section in self.sections for row in section.rows for note in row.notes)
        return {note: _letters(number) for number, note in enumerate(every)}

    def letters(self, row: Row) -> str:
        """Those of a row's notes, such as "a, c"."""
        return ", ".join(self.footnotes[note] for note in row.notes)


def _letters(number: int) -> str:
    before, letter = divmod(number, 26)
    return ("" if not before else _letters(before - 1)) + chr(ord("a") + letter)


_MEASURED_NOTES = (
    ("Measured: top-1 of the last epoch.",),
    (
        "Measured: mAP of classification is scikit-learn's average precision, as in the released code; of detection "
        "the 11-point AP of VOC 2007; of segmentation mean IU over all pixels.",
    ),
    ("Measured: as in Table 2.",),
    ("Measured: 11-point AP of VOC 2007.",),
    ("Measured: R-MAC.",),
)
_COMPARED = (
    "Rows of runs are measured here, on the data that their notes name; quoted rows are the paper's. Bold is the "
    "highest that was measured on the same data."
)


def paper_tables(results: Iterable[Result]) -> list[Table]:
    """Tables 1 to 5, and one of what the paper has in no table, if anything of that was measured.

    Args:
        results: contents of result.json files. A run has one row a table; a second number of a cell that is taken
            begins another row of it.
    """
    own = [*results]
    tables = []
    for number, (quoted, told) in enumerate(zip(QUOTED, _MEASURED_NOTES, strict=True), start=1):
        rows = _measured_rows(own, number)
        notes = (*quoted.notes, *told, _COMPARED) if rows else quoted.notes
        sections = _sections(quoted, [_quoted_row(row, quoted) for row in quoted.rows], rows)
        tables.append(Table(f"table{number}", quoted.title, sections, notes))
    if rows := _measured_rows(own, BESIDE):
        columns = tuple(dict.fromkeys(column for row in rows for column in row.cells))
        title = "Beside the paper's tables: an MLP on the last layer (its supplement), and nearest neighbours, %"
        note = "Measured: the MLP's accuracy of the last epoch; of nearest neighbours top-1, which the paper has not."
        tables.append(Table("others", title, (Section(columns, tuple(rows)),), (note, _COMPARED)))
    return tables


def _sections(quoted: QuotedTable, before: list[Row], rows: list[Row]) -> tuple[Section, ...]:
    """The paper's columns, each group with further ones of ours; and then a section for each other group."""
    groups = list(dict.fromkeys(column.group for column in quoted.columns))
    more = dict.fromkeys(column for row in rows for column in row.cells if column not in quoted.columns)
    known = [*quoted.columns, *(column for column in more if column.group in groups)]
    own = tuple(sorted(known, key=lambda column: groups.index(column.group)))
    sections = [Section(own, (*before, *_having(rows, own)))]
    for group in dict.fromkeys(column.group for column in more if column.group not in groups):
        columns = tuple(column for column in more if column.group == group)
        sections.append(Section(columns, tuple(_having(rows, columns))))
    return tuple(sections)


def _having(rows: list[Row], columns: tuple[Column, ...]) -> list[Row]:
    return [row for row in rows if not row.cells.keys().isdisjoint(columns)]


def _quoted_row(row: QuotedRow, table: QuotedTable) -> Row:
    cells = {
        column: Cell(float(printed.rstrip("†")), printed)
        for column, printed in zip(table.columns, row.numbers, strict=True)
        if printed is not None
    }
    return Row(row.method, QUOTED_RUN, None, row.trained_on, cells)


@dataclass
class _Begun:
    """A row that numbers are put into."""

    result: Result
    cells: dict[Column, Cell] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def row(self) -> Row:
        result, told = self.result, tuple(self.notes)
        epochs = result["network"]["epochs"]
        return Row(method(result), result["run"], epochs, trained_on(result), self.cells, told)


def _measured_rows(results: Iterable[Result], table: int) -> list[Row]:
    begun: dict[str, list[_Begun]] = {}
    for result in results:
        numbers = [number for number in placed(result) if number.table == table]
        if not numbers:
            continue
        told = result["evaluation"], on(result)
        found = {number.column: Cell(number.value, f"{number.value:.1f}", *told) for number in numbers}
        rows = begun.setdefault(result["run"], [])
        free = next((row for row in rows if row.cells.keys().isdisjoint(found)), None)
        if free is None:
            free = _Begun(result)
            rows.append(free)
        free.cells |= found
        free.notes |= dict.fromkeys(notes(result))
    return [*_marked([row.row() for rows in begun.values() for row in rows])]


def _marked(rows: list[Row]) -> Iterator[Row]:
    """Rows whose highest cells, as they are printed, are marked."""
    highest: dict[tuple[Column, str], float] = {}
    for row in rows:
        for column, cell in row.cells.items():
            key = column, cell.on
            highest[key] = max(float(cell.text), highest.get(key, 0.0))
    for row in rows:
        cells = {
            column: replace(cell, best=float(cell.text) == highest[column, cell.on])
            for column, cell in row.cells.items()
        }
        yield replace(row, cells=cells)
