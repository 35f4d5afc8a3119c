"""Pruned epochs seen by plain DVC commands, and kill -9 while epochs are pruned."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from projects import Project, small_project
from slow_helpers import (
    Held,
    assert_refused,
    assert_same,
    commit,
    copied,
    dvc_status,
    git,
    pipeline_status,
    repro,
)

from pipeline import open_run

pytestmark = pytest.mark.slow

CHANGE = {
    "epochs": 4,
    "datasets": {"demo": {"generate": {"images": 40}}},
    "model": {"width": 0.03125},
    "whiten": {"dim": 8},
    "cluster": {"k": 4},
    "train": {"batch": 16},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four epochs, all whole and committed; read only."""
    project = small_project(tmp_path_factory.mktemp("whole") / "project", CHANGE, plan=False)
    project.run()
    commit(project)
    return project


@pytest.fixture(scope="module")
def shortened(whole: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Of the four, 3 and 4 are whole; committed; read only."""
    project = copied(whole, tmp_path_factory.mktemp("shortened"))
    done = project.pipeline("prune", "--set", "retain.last=2")
    assert done.returncode == 0, done.stderr
    assert "2 epochs pruned (1, 2)" in done.stdout
    commit(project)
    return project


@pytest.fixture
def project(shortened: Project, tmp_path: Path) -> Project:
    return copied(shortened, tmp_path)


def assert_clean(project: Project) -> None:
    assert dvc_status(project) == set()
    assert pipeline_status(project) == {}


def test_dvc_has_nothing_to_do_after_pruning(project, shortened):
    assert not project.run_path("epochs/0002/features.zarr").exists()
    assert_clean(project)
    assert repro(project) == Counter()
    assert_same(project.tree(), shortened.tree())
    shown = project.command("dvc", "metrics", "show", "--json")
    assert shown.returncode == 0 and "runs/demo/summary.json" in shown.stdout


@pytest.mark.parametrize(
    ("change", "key"), [({"train": {"lr": 0.011}}, "train.lr"), ({"cluster": {"k": 5}}, "cluster.k")]
)
def test_a_changed_parameter_stops_dvc_with_one_line_and_loses_nothing(project, change, key):
    before = project.tree()
    original = project.path("params.yaml").read_text()
    project.edit(change)
    done = project.command("dvc", "repro")
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "is pruned" in line]
    assert len(said) == 1 and f"epoch 1 of run demo is pruned and was made with {key} " in said[0]
    assert "branch --from demo@4" in said[0]
    assert "Traceback" not in done.stdout + done.stderr
    after = {name: content for name, content in project.tree().items() if ".partial-resolve" not in name}
    assert_same(after, before)
    assert_refused(project.pipeline("run", "--yes"), "epoch 1 of run demo is pruned", key, "branch")
    project.path("params.yaml").write_text(original)
    assert_clean(project)
    assert repro(project) == Counter()


def test_the_guard_stops_dvc_where_the_runs_own_parameters_were_edited(project):
    before = project.tree()
    path = project.run_path("params.yaml")
    path.write_text(path.read_text().replace("lr: 0.02", "lr: 0.5"))
    done = project.command("dvc", "repro", "--single-item", "data/runs/demo/epochs/0002/dvc.yaml:pruned")
    assert done.returncode != 0
    assert "pruned: epoch 2 of run demo is pruned and was made with train.lr 0.02, not 0.5" in done.stderr + done.stdout
    changed = {name for name, content in project.tree().items() if before[name] != content}
    assert changed == {"runs/demo/params.yaml"}


def test_unrelated_keys_rerun_nothing(project):
    project.edit({"retain": {"last": 1, "every": 2}, "runs": {"yfcc-alexnet": {"retain": {"last": 9}}}})
    assert_clean(project)
    project.edit({"threads": 1})
    assert repro(project) == Counter([":resolve"])
    assert_clean(project)


def test_epochs_are_added_by_dvc_which_prunes_nothing(project):
    planned = project.pipeline("plan", "--epochs", "5")
    assert planned.returncode == 0, planned.stderr
    ran = repro(project)
    assert {name for name in ran if name.startswith(("1:", "2:", "3:", "4:"))} == set()
    assert ran["5:train"] == 1
    assert_clean(project)
    assert project.run_path("epochs/0003/features.zarr").exists()
    assert_refused(project.pipeline("plan", "--epochs", "4"), "fewer than the 5 recorded")


def test_small_artifacts_of_pruned_epochs_travel_by_push_and_pull(project, whole, tmp_path):
    remote = tmp_path / "remote"
    assert project.command("dvc", "remote", "add", "-d", "here", remote).returncode == 0
    commit(project)
    pushed = project.command("dvc", "push")
    assert pushed.returncode == 0, pushed.stderr
    subprocess.run(["git", "clone", "-q", project.root, tmp_path / "clone"], check=True)
    clone = Project(tmp_path / "clone")
    pulled = clone.command("dvc", "pull")
    assert pulled.returncode == 0, pulled.stderr + pulled.stdout
    here, there = open_run("demo", whole.root), open_run("demo", clone.root)
    pd.testing.assert_frame_equal(there.assignments(), here.assignments())
    pd.testing.assert_frame_equal(there.history(), here.history())
    assert git(clone, "status", "--short") == ""
    # The checkpoint of epoch 2, which 3 was made from, does not travel, and nothing can make it again.
    assert "data/runs/demo/epochs/0002:pruned" in dvc_status(clone)
    assert_refused(clone.pipeline("run", "--epochs", "5", "--yes"), "epochs/0002/checkpoint.pt is missing", "copy it")


# A file's place in what is written: guard 2's dvc.yaml, its lock, guard 1's lock.
KILLS = {
    "dvc.yaml written": ("epochs/0002/dvc.yaml", 0),
    "lock written": ("epochs/0002/.dvc.lock.previous", 0),
    "one epoch done": ("epochs/0001/dvc.yaml", 0),
}


@pytest.mark.parametrize("again", ["run", "prune"])
@pytest.mark.parametrize("at", KILLS)
def test_a_kill_while_pruning_is_gone_on_from(whole, shortened, tmp_path, at, again):
    project = copied(whole, tmp_path)
    path, skip = KILLS[at]
    command = ("python", "-m", "pipeline", "prune", "--set", "retain.last=2")
    with Held(project, *command, at=path, skip=skip) as held:
        held.kill()
    kept = {name for name in project.tree() if "epochs/0001/" in name or "epochs/0003/" in name}
    assert {"runs/demo/epochs/0001/trained/checkpoint.pt", "runs/demo/epochs/0003/checkpoint.pt"} <= kept
    assert pipeline_status(project) == {}
    done = project.pipeline(again)
    assert done.returncode == 0, done.stderr
    assert_same(project.tree(), shortened.tree())
    assert_clean(project)


def test_a_run_killed_between_two_epochs_goes_on_pruning(whole, tmp_path):
    project = copied(whole, tmp_path)
    project.edit({"retain": {"last": 1}, "epochs": 6})
    with Held(project, "python", "-m", "pipeline", "run", at="epochs/0005/checkpoint.pt") as held:
        held.kill()
    assert [path.parent.name for path in sorted(project.path("data/runs/demo/epochs").glob("*/features.zarr"))] == [
        "0004",
        "0005",
    ]
    done = project.pipeline("run")
    assert done.returncode == 0, done.stderr
    assert [path.parent.name for path in project.path("data/runs/demo/epochs").glob("*/trained")] == ["0006"]
    assert_clean(project)
