"""pipeline/verify.py: every artifact against the hash in its dvc.lock."""

from __future__ import annotations

import io
import re
import shlex
import shutil

import pytest
import yaml
from pipeline_helpers import flip_byte, unlink
from projects import Project

from pipeline.verify import verify
from stages.errors import Refusal
from stages.runtime.report import Reporter


@pytest.fixture(scope="module")
def shared_copy(finished, tmp_path_factory) -> Project:
    """One copy for tests that put back what they change."""
    target = tmp_path_factory.mktemp("shared") / "copy"
    shutil.copytree(finished.root, target, symlinks=True)
    return Project(target)


def verified(project) -> tuple[list[str], str]:
    told = io.StringIO()
    return verify(project.root, "demo", Reporter(stream=told)), told.getvalue()


def recorded(project) -> list[str]:
    found = []
    for lock in project.root.rglob("dvc.lock"):
        for entry in yaml.safe_load(lock.read_text())["stages"].values():
            found += [str(lock.parent / out["path"]) for out in entry.get("outs", [])]
    return found


def test_a_finished_run_is_whole_and_every_artifact_was_hashed(finished):
    wrong, told = verified(finished)
    assert wrong == []
    assert f"{len(recorded(finished))} artifacts hashed, 0 differ" in told


@pytest.mark.parametrize(
    ("name", "artifact"),
    [
        ("runs/demo/epochs/0001/assignments.parquet", "runs/demo/epochs/0001/assignments.parquet"),
        ("runs/demo/epochs/0002/features.zarr/c.1.0", "runs/demo/epochs/0002/features.zarr"),
        ("runs/demo/epochs/0001/trained/checkpoint.pt", "runs/demo/epochs/0001/trained"),
        ("runs/demo/final/centroids.npy", "runs/demo/final/centroids.npy"),
        ("runs/demo/model.safetensors", "runs/demo/model.safetensors"),
        ("images/demo/pixels.zarr/c.2", "images/demo/pixels.zarr"),
        ("images/demo/pack.json", "images/demo/pack.json"),
    ],
)
def test_a_flipped_byte_is_found(shared_copy, name, artifact):
    flip_byte(shared_copy.path(f"data/{name}"))
    wrong, told = verified(shared_copy)
    flip_byte(shared_copy.path(f"data/{name}"))
    assert wrong == [f"data/{artifact}"]
    assert f"data/{artifact} differs" in told


def test_a_missing_artifact_is_found(finished_copy):
    unlink(finished_copy.run_path("final/pca.npz"), finished_copy.run_path("epochs/0001/trained"))
    wrong, told = verified(finished_copy)
    assert wrong == ["data/runs/demo/epochs/0001/trained", "data/runs/demo/final/pca.npz"]
    assert told.count("is missing") == 2


def test_a_run_that_goes_on_is_verified_as_far_as_it_is_recorded(finished_copy):
    before = len(recorded(finished_copy))
    unlink(finished_copy.run_path("epochs/0002"), finished_copy.run_path("final"))
    wrong, told = verified(finished_copy)
    assert wrong == []
    assert f"{before - 10 - 6} artifacts hashed" in told


def test_an_unknown_run_is_refused(finished):
    with pytest.raises(Refusal, match="nope"):
        verify(finished.root, "nope", Reporter(stream=io.StringIO()))


@pytest.mark.parametrize("name", ["epochs/0001/assignments.parquet", "final/centroids.npy", "epochs/0002/metrics.json"])
def test_the_command_that_verify_names_makes_the_artifact_again(finished_copy, cli, name):
    whole = finished_copy.tree()
    flip_byte(finished_copy.run_path(name))
    ended = cli(finished_copy.root, "verify")
    assert ended.status == 1
    assert re.fullmatch(rf"1 artifact differs .*: data/runs/demo/{name}\n", ended.err)
    (command,) = re.findall(r"`python -m pipeline ([^`]*)`", ended.out)
    assert cli(finished_copy.root, *shlex.split(command)).status == 0
    assert cli(finished_copy.root, "verify").status == 0
    assert finished_copy.tree() == whole
