"""pipeline/tables.py: every recorded result of every run, in the order of params.yaml, and of no other network."""

import json

import pytest
import yaml
from projects import params_text
from result_cases import knn, lay, probe, untrained
from stage_helpers import refused

from pipeline.tables import refuse_folder, tables


@pytest.fixture
def root(tmp_path):
    """A project whose runs have results and nothing else."""
    (tmp_path / ".dvc").mkdir()
    content = yaml.safe_load(params_text())
    content["runs"]["demo"] = {"evaluations": ["knn", "linear_probe"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path


def rows(made, name="others"):
    (table,) = [table for table in made if table.name == name]
    return [row for section in table.sections for row in section.rows if not row.quoted]


def test_every_run_that_has_results_has_its_row(root):
    for content in (knn("zoo"), knn(), knn("yfcc-alexnet"), probe(), knn("away", of=untrained())):
        lay(root, content)
    made, left_out = tables(root, [])
    assert left_out == []
    # Those of params.yaml in its order, then those that only lie there.
    assert [row.run for row in rows(made)] == ["demo", "yfcc-alexnet", "away", "zoo"]
    assert [row.run for row in rows(made, "table1")] == ["demo"]
    assert len(made) == 6


def test_runs_and_a_table_can_be_chosen(root):
    for content in (knn(), probe(), knn("zoo")):
        lay(root, content)
    made, _ = tables(root, ["zoo", "demo", "zoo"])
    assert [row.run for row in rows(made)] == ["zoo", "demo"]
    (one,), _ = tables(root, [], 1)
    assert one.name == "table1" and [row.run for row in rows([one], "table1")] == ["demo"]


def test_evaluations_come_in_the_order_of_params_and_then_of_names(root):
    for content in (knn(name="a"), knn(), knn(name="b")):
        lay(root, content)
    made, _ = tables(root, ["demo"])
    first = [next(iter(row.cells.values())).evaluation for row in rows(made)]
    assert first == ["knn", "a", "b"]


def test_nothing_measured_says_what_to_do(root):
    line = refused(lambda: tables(root, []))
    assert line.startswith("nothing was measured yet") and "python -m pipeline evaluate --run NAME" in line


def test_a_run_without_results_and_one_that_is_none_are_refused(root):
    lay(root, knn())
    assert "python -m pipeline evaluate --run yfcc-alexnet" in refused(lambda: tables(root, ["yfcc-alexnet"]))
    assert "no run 'none'" in refused(lambda: tables(root, ["none"]))


def test_a_result_that_was_edited_is_left_out_and_told(root):
    folder = lay(root, knn())
    lay(root, knn("zoo"))
    content = json.loads((folder / "result.json").read_text())
    content["numbers"]["top1"]["10"] = 99.9
    (folder / "result.json").write_text(json.dumps(content))
    made, (line,) = tables(root, [])
    assert [row.run for row in rows(made)] == ["zoo"]
    assert line.startswith("left out: data/runs/demo/evaluations/knn/result.json is not what was recorded")
    assert "`python -m pipeline evaluate --run demo knn`" in line


def test_a_result_of_an_earlier_network_is_left_out_and_told(root):
    lay(root, knn())
    lock = root / "data/runs/demo/dvc.lock"
    lock.write_text(lock.read_text().replace("md5: ", "md5: 0", 1))
    line = refused(lambda: tables(root, []))
    assert "knn/result.json is of another network than the run has now" in line


def test_what_is_recorded_nowhere_is_left_out(root):
    folder = lay(root, knn())
    lay(root, probe())
    (folder / "dvc.lock").unlink()
    _, (line,) = tables(root, [])
    assert "is not what was recorded" in line


def test_a_folder_is_refused_before_any_work(root, tmp_path):
    refuse_folder(root, tmp_path)
    refuse_folder(root, tmp_path / "new")
    assert "another folder" in refused(lambda: refuse_folder(root, root / "data/tables"))
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(lambda: refuse_folder(root, tmp_path / "file"))
    assert "in a folder that exists" in refused(lambda: refuse_folder(root, tmp_path / "new/new"))
