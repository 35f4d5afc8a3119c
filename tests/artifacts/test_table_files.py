"""stages/artifacts/paper_tables.py and paper_page.py: the files hold the tables, and the same bytes each time."""

import io
import re
from html.parser import HTMLParser

import pandas as pd
from result_cases import demo_and_baseline, knn, untrained

from stages.artifacts.paper_tables import as_csv, as_markdown, write_tables
from stages.protocols.paper_tables import paper_tables
from stages.protocols.quoted import QUOTED

TABLES = paper_tables(demo_and_baseline())


class Page(HTMLParser):
    """The tables of a page: of each its title, and its rows as texts of their cells; and what is not closed."""

    VOID = ("meta", "link", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.titles, self.tables, self.tags = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "h2":
            self.titles.append("")
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "h2" in self.open:
            self.titles[-1] += data
        elif "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def read(table):
    return pd.read_csv(io.StringIO(as_csv(table)), keep_default_na=False, dtype={"value": float, "mark": str})


def rows_of(markdown):
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown.splitlines() if line[:2] == "| "
    ]


def test_the_csv_holds_each_number_once_with_its_mark():
    for number, (table, quoted) in enumerate(zip(TABLES, QUOTED, strict=False), start=1):
        frame = read(table)
        assert set(frame["table"]) == {f"table{number}"}
        theirs = frame[frame["run"] == "quoted"]
        printed = [float(n.rstrip("†")) for row in quoted.rows for n in row.numbers if n is not None]
        assert theirs["value"].tolist() == printed
        daggers = sum("†" in (n or "") for row in quoted.rows for n in row.numbers)
        assert theirs["mark"].str.contains("†").sum() == daggers
    table2 = read(TABLES[1])
    starred = table2[table2["mark"].str.contains("*", regex=False)]
    assert starred["method"].nunique() == 7 and not table2["method"].str.contains("*", regex=False).any()


def test_the_csv_says_what_measured_a_number():
    frame = read(TABLES[1])
    row = frame[(frame["run"] == "demo") & (frame["group"] == "Detection") & (frame["column"] == "ALL")].iloc[0]
    assert (row["value"], row["evaluation"], int(row["epochs"]), row["trained_on"]) == (
        51.25,
        "detection-all",
        8,
        "demo",
    )
    assert row["measured_on"] == "Trained on scenes trainval, tested on scenes test" and row["best"]
    baseline = frame[frame["run"] == "demo-random"]
    assert len(baseline) == 6 and not baseline["best"].any()


def test_markdown_has_a_line_a_row_with_as_many_cells_as_its_header():
    for table in TABLES:
        rows = rows_of(as_markdown(table))
        sections = [section for section in table.sections for _ in range(len(section.rows) + 2)]
        assert [len(row) for row in rows] == [4 + len(section.columns) for section in sections]
        for note in table.footnotes:
            assert note.split(":")[0].replace("_", r"\_") in as_markdown(table)


def test_markdown_marks_the_best_and_keeps_stars_as_letters():
    text = as_markdown(TABLES[1])
    demo = next(line for line in text.splitlines() if line.startswith("| DeepCluster (this run)"))
    assert demo.endswith("| **60.2** | **61.2** | **50.2** | **51.2** | **40.2** | **41.2** |")
    baseline = next(line for line in text.splitlines() if line.startswith("| Random-sobel (this run)"))
    assert "**" not in baseline
    quoted = next(line for line in text.splitlines() if line.startswith("| DeepCluster | quoted"))
    assert quoted == "| DeepCluster | quoted |  |  | 72.0 | 73.7 | 51.4 | 55.4 | 43.2 | 45.1 |"
    assert r"| Zhang et al. [71]\* | quoted |  |  | 61.5 | 65.9 | 43.4† | 46.9 | 35.8† | 35.6 |" in text


def test_names_of_others_break_neither_markdown_nor_the_page(tmp_path):
    tables = paper_tables([knn(of=untrained(start="a|b *c* <script>alert(1)</script> & _d_"))])
    text = as_markdown(tables[-1])
    assert r"a\|b \*c\* \<script>" in text
    write_tables(tmp_path, tables)
    page = (tmp_path / "tables.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_the_page_holds_every_cell_of_every_table(tmp_path):
    write_tables(tmp_path, TABLES)
    page = Page((tmp_path / "tables.html").read_text())
    assert page.open == []
    assert page.titles == [table.title for table in TABLES]
    sections = [(table, section) for table in TABLES for section in table.sections]
    assert len(page.tables) == len(sections)
    for (table, section), rows in zip(sections, page.tables, strict=True):
        body = rows[-len(section.rows) :]
        for row, cells in zip(section.rows, body, strict=True):
            letters = table.letters(row)
            assert cells[0] == row.method + (f" {letters}" if letters else "")
            assert cells[1:4] == [row.run, "" if row.epochs is None else str(row.epochs), row.trained_on]
            assert cells[4:] == [row.cells[c].text if c in row.cells else "—" for c in section.columns]


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    write_tables(tmp_path, TABLES)
    text = (tmp_path / "tables.html").read_text()
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == [f"#{table.name}" for table in TABLES]
    anchors = {attrs["id"] for tag, attrs in page.tags if "id" in attrs}
    assert {link[1:] for link in links} == anchors
    assert not re.search(r"url\(|@import|https?:", text)
    assert "prefers-color-scheme: dark" in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    first = {path.name: path.read_bytes() for path in write_tables(tmp_path / "a", TABLES)}
    again = paper_tables(demo_and_baseline())
    assert {path.name: path.read_bytes() for path in write_tables(tmp_path / "b", again)} == first
    names = [f"table{number}" for number in range(1, 6)] + ["others"]
    assert sorted(first) == sorted([f"{name}.{kind}" for name in names for kind in ("csv", "md")] + ["tables.html"])
