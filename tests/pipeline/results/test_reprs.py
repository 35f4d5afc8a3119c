"""What a notebook shows of a run and of what it gives."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from pipeline_helpers import unlink
from results_helpers import N

from pipeline import open_run
from pipeline.results.run import Run


def shown(run: Run) -> tuple[str | None, list[str], list[list[str]]]:
    """The heading, the columns and the rows of what a notebook shows."""
    page = ElementTree.fromstring(f"<div>{run._repr_html_()}</div>")
    table = page.find("table")
    assert table is not None
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    return page.findtext("p"), rows[0], rows[1:]


def test_a_run_shows_its_table_of_epochs(run):
    heading, columns, rows = shown(run)
    assert heading == repr(run)
    assert {"epoch", "loss", "nmi_labels", "ami_labels", "nmi_previous", "reassigned"} <= set(columns)
    history = run.history()
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [row[columns.index("nmi_labels")] for row in rows] == [f"{value:.3f}" for value in history["nmi_labels"]]
    assert rows[-1][columns.index("loss")] == "-"


def test_a_run_without_a_finished_epoch_shows_an_empty_table(finished_copy):
    unlink(*finished_copy.run_path("epochs").glob("*/metrics.json"), finished_copy.run_path("final"))
    heading, columns, rows = shown(open_run("demo", finished_copy.root))
    assert (heading, rows) == ("Run('demo', 0 of 2 epochs)", []) and "epoch" in columns


@pytest.mark.parametrize(("name", "width"), [("features", 256), ("whitened", 32)])
def test_rows_show_their_shape_and_dtype(run, name, width):
    assert repr(getattr(run, name)(2)) == f"{name}.zarr ({N}, {width}) float32, 3 chunks"
