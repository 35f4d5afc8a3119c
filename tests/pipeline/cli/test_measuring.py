"""pipeline/cli/measuring.py and paper_tables.py: what `tables` and `data` print, and what they write."""

import io

import pytest
import yaml
from projects import params_text
from result_cases import demo_and_baseline, knn, lay
from rich.console import Console

from pipeline.cli.paper_tables import Printed
from stages.protocols.paper_tables import paper_tables


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text(params_text())
    return tmp_path


def lines(width, number):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(Printed(paper_tables(demo_and_baseline())[number - 1]))
    return console.export_text().splitlines()


def test_a_wide_terminal_shows_a_table_in_one_piece():
    shown = lines(200, 2)
    row = next(line for line in shown if line.startswith("DeepCluster (this run)"))
    numbers = ["60.2", "61.2", "50.2", "51.2", "40.2", "41.2"]
    assert row.split()[-8:] == ["8", "demo", *numbers]
    quoted = next(line for line in shown if line.startswith("DeepCluster  "))
    assert quoted.split() == ["DeepCluster", "quoted", "72.0", "73.7", "51.4", "55.4", "43.2", "45.1"]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_terminal_cuts_no_number(width, number):
    shown = lines(width, number)
    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    table = paper_tables(demo_and_baseline())[number - 1]
    for section in table.sections:
        for column in section.columns:
            assert column.name in text
        for row in section.rows:
            assert all(cell.text in text for cell in row.cells.values())
    assert "…" not in text


def test_tables_prints_them_with_their_notes(cli, root):
    lay(root, knn())
    ended = cli(root, "tables")
    assert (ended.status, ended.err) == (0, "")
    assert [f"Table {number}." in ended.out for number in range(1, 6)] == [True] * 5
    assert "a: AlexNet with Sobel filters" in ended.out
    assert not (root / "data/tables").exists()


def test_tables_writes_what_was_asked_for(cli, root, tmp_path):
    lay(root, knn())
    ended = cli(root, "tables", "--run", "demo", "--table", "2", "-o", tmp_path / "out")
    assert ended.status == 0 and "Table 1." not in ended.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["table2.csv", "table2.md", "tables.html"]
    assert ended.out.splitlines()[-1] == f"3 files in {tmp_path / 'out'}; for a browser: {tmp_path / 'out/tables.html'}"


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_printed(cli, root):
    lay(root, knn())
    assert "another folder" in cli.refused(root, "tables", "-o", "data/tables")
    assert cli(root, "tables", "-o", "data/tables").out == ""


def test_what_is_left_out_is_told_on_stderr(cli, root):
    lay(root, knn())
    (lay(root, knn(name="old")) / "dvc.lock").unlink()
    ended = cli(root, "tables")
    assert ended.status == 0 and ended.err.startswith("left out: data/runs/demo/evaluations/old/result.json")


def test_tables_without_results_is_refused_in_one_line(cli, root):
    assert "nothing was measured yet" in cli.refused(root, "tables")


def test_data_prints_a_row_a_set(cli, root):
    content = yaml.safe_load(params_text())
    content |= {"evaluations": {}, "runs": {"mine": {"dataset": "imagenet"}}}
    content["evaluation_sets"] = {"paris6k": {"layout": "landmarks", "path": "/nowhere/[bold]paris"}}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    ended = cli(root, "data")
    assert (ended.status, ended.err) == (0, "")
    assert "datasets.imagenet" in ended.out and "/data/imagenet/train" in ended.out
    assert "evaluation_sets.paris6k" in ended.out and "/nowhere/[bold]paris" in ended.out
    assert "run mine" in ended.out
