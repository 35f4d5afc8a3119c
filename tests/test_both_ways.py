"""pipeline/ and stages/ together: `dvc repro` and `pipeline run` give the same bytes, in the fast tests' one repro."""

import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from projects import Project, small_project, tree


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with a committed plan, computed by `dvc repro`."""
    project = small_project(tmp_path_factory.mktemp("reproduced") / "project")
    commit(project)
    done = project.command("dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def commit(project: Project) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["add", "-A"], [*identity, "commit", "-qm", "plan"]):
        subprocess.run(["git", *words], cwd=project.root, check=True, capture_output=True)


def timings(project: Project, folder: str = "data/runs/demo") -> list[dict[str, str]]:
    with open(project.path(folder) / "timings.csv", newline="") as file:
        return list(csv.DictReader(file))


def locks(project: Project) -> dict[str, str]:
    """The dvc.lock files by name."""
    return {str(path.relative_to(project.root)): path.read_text() for path in project.root.rglob("dvc.lock")}


def test_the_parameters_are_those_that_make_the_comparison_hard(reproduced):
    params = yaml.safe_load(reproduced.run_path("params.yaml").read_text())
    assert (params["threads"], params["workers"], params["train"]["dropout"]) == (2, 2, 0.5)
    images = json.loads(reproduced.path("data/images/demo/pack.json").read_text())["images"]
    for divisor in (params["train"]["batch"], params["extract"]["batch"], params["extract"]["chunk_rows"]):
        assert images % divisor
    for chunked in ("data/images/demo/pixels.zarr", "data/runs/demo/epochs/0001/features.zarr"):
        assert len(list(reproduced.path(chunked).glob("c.*"))) >= 3


def test_dvc_repro_and_pipeline_run_give_the_same_bytes(reproduced, finished):
    by_dvc, by_pipeline = reproduced.tree(), finished.tree()
    assert by_dvc.keys() == by_pipeline.keys()
    assert [name for name in by_dvc if by_dvc[name] != by_pipeline[name]] == []
    for name in ("trained/checkpoint.pt", "features.zarr/c.2.0", "pseudolabels.parquet", "metrics.json"):
        assert f"runs/demo/epochs/0002/{name}" in by_dvc
    assert {
        "runs/demo/figures/curves.png",
        "runs/demo/figures/clusters.png",
        "runs/demo/model.safetensors",
    } < by_dvc.keys()


def test_both_ways_write_the_same_locks(reproduced, finished):
    """Or git would show a change whenever a user goes from one way to the other."""
    assert locks(reproduced) == locks(finished)


def test_a_second_dvc_repro_runs_nothing(reproduced):
    before = timings(reproduced), tree(reproduced.path("data")), locks(reproduced)
    again = reproduced.command("dvc", "repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout
    assert (timings(reproduced), tree(reproduced.path("data")), locks(reproduced)) == before


@pytest.mark.parametrize("way", ["reproduced", "finished"])
def test_dvc_status_is_clean_after_both_ways(way, request):
    status = request.getfixturevalue(way).command("dvc", "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout) == {}


def test_pipeline_run_is_one_process(finished):
    rows = timings(finished) + timings(finished, "data/images/demo")
    assert {row["pid"] for row in rows} == {str(os.getpid())}
    assert len(rows) == 2 + 1 + 1 + 2 * 6 + 3 + 1 + 1 + 1 + 1 + 1


def test_dvc_repro_is_a_process_per_stage(reproduced):
    rows = timings(reproduced) + timings(reproduced, "data/images/demo")
    assert len(rows) == 2 + 1 + 1 + 2 * 6 + 3 + 1 + 1 + 1 + 1 + 1
    assert len({row["pid"] for row in rows}) == len(rows)


LARGE = ("pixels.zarr", "pictures", "features.zarr", "whitened.zarr", "trained", "checkpoint.pt", "model.safetensors")


@pytest.mark.parametrize("way", ["reproduced", "finished"])
def test_the_cache_holds_no_large_file(way, request):
    """By content, since pictures of a test are no larger than a table."""
    project = request.getfixturevalue(way)
    cached = {md5(path) for path in project.path(".dvc/cache").rglob("*") if path.is_file()}
    large = [path for name in LARGE for path in project.path("data").rglob(name)]
    files = [file for path in large for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    assert {md5(path) for path in project.path("data").rglob("assignments.parquet")} < cached
    assert len(files) > 100
    assert [str(file) for file in files if md5(file) in cached] == []


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_git_sees_only_locks_and_parameters(reproduced):
    shown = subprocess.run(
        ["git", "status", "--short", "--untracked-files=all"],
        cwd=reproduced.root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    names = {line[3:] for line in shown}
    assert {Path(name).name for name in names} == {"dvc.lock", "params.yaml"}
    assert "data/runs/demo/epochs/0002/dvc.lock" in names
    assert not list(reproduced.path("data").rglob(".gitignore"))
