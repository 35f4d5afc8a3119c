"""Numbers as people write them into params.yaml, and a forced `dvc repro` of a pruned run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import Project, small_project
from ruamel.yaml import YAML
from slow_helpers import assert_refused, commit, copied, dvc_status, git_status, pipeline_status, repro, state

pytestmark = pytest.mark.slow

CHANGE = {
    "datasets": {"demo": {"generate": {"images": 20}}},
    "model": {"architecture": "resnet18", "input": 32},
    "whiten": {"dim": 8},
    "cluster": {"k": 4},
    "train": {"batch": 16},
    "runs": {"other": {"epochs": 0}},
}


def write(project: Project, key: str, text: str, run: str | None = None) -> None:
    """Puts a value into params.yaml as it is typed: no library has seen it."""
    section, name = key.split(".")
    change: dict[str, Any] = {section: {name: "PLACE"}}
    project.edit({"runs": {run: change}} if run else change)
    file = project.path("params.yaml")
    file.write_text(file.read_text().replace("PLACE", text))


def assert_float(path: Path, key: str, number: float) -> None:
    """The same float to a reader of YAML 1.1 and to one of 1.2."""
    section, name = key.split(".")
    for content in (yaml.safe_load(path.read_text()), YAML(typ="safe").load(path.read_text())):
        value = content[section][name]
        assert isinstance(value, float) and value == number


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    """Two epochs with numbers that were typed, computed by `pipeline run`."""
    project = small_project(tmp_path_factory.mktemp("cases") / "project", CHANGE, plan=False)
    write(project, "train.lr", "5e-2")
    write(project, "train.weight_decay", "0.000001")
    write(project, "extract.chunk_rows", "1e5")
    done = project.pipeline("run")
    assert (done.returncode, done.stderr) == (0, "")
    commit(project)
    return project


def test_typed_numbers_are_numbers_to_the_run_and_leave_nothing_to_do(clone):
    path = clone.run_path("params.yaml")
    assert_float(path, "train.lr", 0.05)
    assert_float(path, "train.weight_decay", 1e-6)
    assert yaml.safe_load(path.read_text())["extract"]["chunk_rows"] == 100_000
    assert dvc_status(clone) == set() and pipeline_status(clone) == {}
    assert not repro(clone)
    assert git_status(clone) == []


def test_a_typed_number_is_a_float_after_one_write_by_either_way_and_dvc_is_clean(clone):
    run = ("python", "-m", "pipeline", "run", "--run", "other")
    for text, number, words in (
        ("1e5", 1e5, run),
        ("1e-5", 1e-5, ("dvc", "repro", "data/runs/other/dvc.yaml")),
        ("0.000001", 1e-6, run),
    ):
        write(clone, "train.lr", text, run="other")
        done = clone.command(*words)
        assert done.returncode == 0, done.stderr
        assert_float(clone.run_path("params.yaml", "other"), "train.lr", number)
        assert dvc_status(clone) == set()


def test_a_number_given_by_set_is_written_so_that_all_readers_agree(clone, tmp_path):
    project = copied(clone, tmp_path)
    done = project.pipeline("plan", "--run", "other", "--set", "train.weight_decay=0.000001", "--set", "train.lr=1e-5")
    assert done.returncode == 0, done.stderr
    resolved = project.command("python", "-m", "stages.resolve", "data/runs/other")
    assert (resolved.returncode, resolved.stderr) == (0, "")
    for key, number in (("train.weight_decay", 1e-6), ("train.lr", 1e-5)):
        assert_float(project.run_path("params.yaml", "other"), key, number)
        section, name = key.split(".")
        value = yaml.safe_load(project.path("params.yaml").read_text())["runs"]["other"][section][name]
        assert isinstance(value, float) and value == number


@pytest.mark.parametrize("text", [".nan", "true", "'abc'"])
def test_a_value_that_is_no_number_is_refused_with_its_key_by_both_ways(clone, tmp_path, text):
    project = copied(clone, tmp_path)
    before = state(project)
    assert_refused(project.pipeline("run", "--set", f"train.lr={text}"), "train.lr: ", "--set train.lr=")
    assert state(project) == before
    write(project, "train.lr", text)
    before = state(project)
    assert_refused(project.pipeline("run"), "params.yaml: train.lr: ", "--set train.lr=")
    done = project.command("dvc", "repro")
    assert done.returncode != 0
    told = [line for line in (done.stdout + done.stderr).splitlines() if "train.lr" in line]
    assert len(told) == 1 and told[0].startswith("resolve: params.yaml: train.lr: ")
    assert "Traceback" not in done.stdout + done.stderr
    assert state(project) == before


def test_a_forced_repro_of_a_pruned_run_with_another_k_stops_in_one_line_and_keeps_every_file(clone, tmp_path):
    project = copied(clone, tmp_path)
    pruned = project.pipeline("prune", "--set", "retain.last=1")
    assert pruned.returncode == 0 and "1 epoch pruned" in pruned.stdout, pruned.stdout + pruned.stderr
    assert not project.run_path("epochs/0001/features.zarr").exists()
    project.edit({"cluster": {"k": 5}})
    before = state(project)
    done = project.command("dvc", "repro", "-f")
    assert done.returncode != 0
    told = [line for line in (done.stdout + done.stderr).splitlines() if "is pruned" in line]
    assert len(told) == 1 and "epoch 1 of run demo is pruned and was made with cluster.k 4, not 5" in told[0]
    assert "branch --from demo@" in told[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert state(project) == before
    assert dvc_status(project) != set() and "data/runs/demo/epochs/0001:pruned" in pipeline_status(project)
    assert_refused(project.pipeline("run", "--yes"), "epoch 1 of run demo is pruned", "cluster.k 4, not 5")
    assert state(project) == before
