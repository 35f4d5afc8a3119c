"""Evaluations by `dvc repro` and `pipeline evaluate`: the same bytes, after kills too; and `dvc metrics` of them."""

import json
import shutil

import pytest
from evaluation_helpers import ENTRIES, EVALUATED, edited, folder
from projects import Project, merged
from slow_helpers import Held, assert_same, commit, copied, dvc_status, eager, pipeline_status, stages_run

from pipeline.evaluate import evaluate
from stages.runtime.report import Reporter

pytestmark = pytest.mark.slow

REPRODUCED = ["knn", "detection", "oxford"]


@pytest.fixture(scope="module")
def reproduced(finished, tmp_path_factory) -> Project:
    """The finished project, whose evaluations `dvc repro` has computed, those of its baseline too."""
    project = copied(finished, tmp_path_factory.mktemp("reproduced"))
    named = {run: {"evaluations": REPRODUCED} for run in ("demo", "demo-random")}
    project.edit(merged(EVALUATED, {"runs": named}))
    project.plan()
    done = project.command("dvc", "repro", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_dvc_repro_ends_in_the_tables_and_gives_the_bytes_of_pipeline_run(reproduced, evaluated):
    for run in ("demo", "demo-random"):
        assert sorted(path.name for path in reproduced.run_path("evaluations", run).iterdir()) == sorted(REPRODUCED)
    ours, theirs = reproduced.tree(), evaluated.tree()
    same = {name for name in ours if not name.startswith("tables/")}
    assert_same({name: ours[name] for name in same}, {name: theirs[name] for name in same})
    assert reproduced.path("data/tables/tables.html").exists()
    assert "data/tables" not in evaluated.command("git", "status", "--short", "--untracked-files=all").stdout


def test_a_second_dvc_repro_runs_nothing_and_every_status_is_clean(reproduced):
    before = stages_run(reproduced), stages_run(reproduced, "demo-random")
    again = reproduced.command("dvc", "repro")
    assert again.returncode == 0 and "Running stage" not in again.stdout
    assert (stages_run(reproduced), stages_run(reproduced, "demo-random")) == before
    assert dvc_status(reproduced) == set()
    assert pipeline_status(reproduced) == pipeline_status(reproduced, "demo-random") == {}


KILLED = {
    "linear": ("savepoint.pt", 0, "goes on at epoch 2 of 2"),
    "mlp": ("savepoint.pt", 0, "goes on at epoch 2 of 2"),
    "knn": ("predictions.parquet", 0, ""),
    "classification": ("savepoint.pt", 1, "goes on at iteration 2 of 4"),
    "caffe": ("savepoint.pt", 0, "goes on at iteration 1 of 2"),
    "detection": ("savepoint.pt", 2, "goes on at iteration 3 of 4"),
    "segmentation": ("savepoint.pt", 1, "goes on at iteration 2 of 4"),
    "oxford": ("predictions.parquet", 0, ""),
}
"""In each evaluation, the file after which it is killed, how many such files pass before, and what is told then."""


def test_evaluations_that_are_killed_go_on_with_the_same_command_and_give_the_same_bytes(evaluated, tmp_path):
    assert set(KILLED) == set(ENTRIES)
    project = eager(copied(evaluated, tmp_path))
    for part in ("evaluations", "../../evaluation/demo-paris"):
        shutil.rmtree(project.run_path(part))
    before = stages_run(project)
    command = ("python", "-m", "pipeline", "evaluate")
    points = [("demo-paris/.partial-draw/pictures/jpg", 3), ("demo-paris/.partial-index/index.parquet", 0)]
    for name in ENTRIES:
        file, skip, _ = KILLED[name]
        points.append((f"evaluations/{name}/.partial-{ENTRIES[name]['protocol']}/{file}", skip))
    for at, skip in points:
        with Held(project, *command, at=at, skip=skip) as held:
            held.kill()
        kept = at.partition("/.partial-")[0]
        (where,) = project.path("data").rglob(kept.rpartition("/")[2] + "/.partial-*")
        assert not {path.name for path in where.parent.iterdir()} & {"result.json", "index.json", "predictions.parquet"}
    done = project.command(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(project.tree(), evaluated.tree())
    # Each has ended once.
    assert stages_run(project)[len(before) :] == [f":{entry['protocol']}" for entry in ENTRIES.values()]
    log = project.run_path("log.txt").read_text()
    for name, (_, _, told) in KILLED.items():
        assert f"{name}: {told}" in log or not told


def test_dvc_metrics_knows_the_numbers_and_what_a_change_makes_of_them(evaluated, tmp_path):
    project = copied(evaluated, tmp_path)
    commit(project)
    shown = project.command("dvc", "metrics", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    data = json.loads(shown.stdout)[""]["data"]
    for name in ENTRIES:
        for run in ("demo", "demo-random"):
            numbers = json.loads((folder(project, name, run) / "numbers.json").read_text())
            assert data[f"data/runs/{run}/evaluations/{name}/numbers.json"]["data"] == numbers
    before = data["data/runs/demo/evaluations/oxford/numbers.json"]["data"]["map"]
    edited(project, "oxford", layer="conv3", levels=1)
    evaluate(project.root, "demo", [], Reporter())
    found = project.command("dvc", "metrics", "diff", "--json")
    assert found.returncode == 0, found.stderr
    (difference,) = json.loads(found.stdout).values()
    now = json.loads((folder(project, "oxford") / "numbers.json").read_text())["map"]
    assert now != before
    assert (difference["map"]["old"], difference["map"]["new"]) == (before, now)
