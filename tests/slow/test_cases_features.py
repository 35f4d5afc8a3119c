"""Features, clusterings and training at their edges, each met on a command line in a temporary clone."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from projects import Project, merged, small_project, tree
from slow_helpers import assert_refused, assert_same, copied, encoded, noise, pictures, state

from stages.artifacts.chunks import ChunkReader, ChunkWriter

pytestmark = pytest.mark.slow

RESNET = {"architecture": "resnet18", "input": 32, "width": 0.0625}
ALEXNET = {"architecture": "alexnet", "input": 63, "width": 0.03125}
COUNT = 33

RUNS: dict[str, dict[str, Any]] = {
    "photos": {"dataset": "photos"},
    "single": {"dataset": "photos", "epochs": 2, "cluster": {"k": 1}, "train": {"passes": 0.5}},
    "many": {"dataset": "many"},
    "two": {"dataset": "two", "epochs": 0, "cluster": {"k": 2}},
    "copies": {"dataset": "copies", "cluster": {"k": 100}, "train": {"passes": 0.05}},
    "workers": {"dataset": "photos", "epochs": 2, "workers": 0, "model": ALEXNET},
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    """A clone with pictures beside it, and runs on them that one writes into params.yaml."""
    top = tmp_path_factory.mktemp("cases")
    for name in "ab":
        pictures(
            top / "photos" / name, (encoded(noise(ord(name) * 100 + n, 72, 80)) for n in range(17 - (name == "b")))
        )
    flat = encoded(noise(1))
    pictures(top / "many", [flat] * 1300)
    pictures(top / "two", [flat] * 120 + [encoded(noise(2))] + [flat] * 128)
    fifty = [encoded(noise(n)) for n in range(50)]
    pictures(top / "copies", fifty * 20)
    change = {
        "epochs": 1,
        "model": RESNET,
        "whiten": {"dim": 8},
        "cluster": {"k": 4},
        "extract": {"chunk_rows": 16},
        "train": {"batch": 16},
        "datasets": {
            name: {"path": f"../{name}", "size": 72 if name == "photos" else 32, "labels": True, "chunk_mib": 1}
            for name in ("photos", "many", "two", "copies")
        },
        "runs": merged(RUNS, {"copies": {"extract": {"chunk_rows": 512}}}),
    }
    return small_project(top / "project", change, plan=False)


def run(clone: Project, name: str) -> str:
    done = clone.pipeline("run", "--run", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Traceback" not in clone.run_path("log.txt", name).read_text()
    return done.stdout


def clustering(clone: Project, name: str, where: str = "final") -> dict[str, Any]:
    return json.loads(clone.run_path(where, name).joinpath("clustering.json").read_text())


def rows(path: Path) -> np.ndarray:
    return ChunkReader(path, "").read()


def put(path: Path, content: np.ndarray) -> None:
    """Rows in the place of those of an array."""
    shutil.rmtree(path)
    blocks = (content[i : i + 512] for i in range(0, len(content), 512))
    ChunkWriter(path, (512, content.shape[1]), "float32").write_all(blocks, len(content))


def assert_stage_refused(project: Project, stage: str, name: str, where: str, *words: str) -> None:
    """The stage alone, in a process of its own, publishes nothing; `status` knows that it failed."""
    before = state(project)
    assert_refused(project.command("python", "-m", f"stages.{stage}", project.run_path(where, name)), *words)
    assert state(project) == before
    log = project.run_path("log.txt", name).read_text()
    assert "refused: " in log and "Traceback" not in log


# What is refused before any work.

REFUSED = {
    "k of 10,000 for 1,300": (
        ["run", "--run", "many", "--set", "cluster.k=10000"],
        "10000 clusters for 1,300 pictures; --set cluster.k=65",
    ),
    "the paper's k": (
        ["run", "--run", "new", "--images", "../many", "--preset", "paper"],
        "10000 clusters for 1,300 pictures; --set cluster.k=65",
    ),
    "k of 0": (["run", "--run", "photos", "--set", "cluster.k=0"], "cluster.k: input should be greater than"),
    "k of -1": (["run", "--run", "photos", "--set", "cluster.k=-1"], "cluster.k: input should be greater than"),
    "k of 2.5": (["run", "--run", "photos", "--set", "cluster.k=2.5"], "cluster.k: input should be a valid integer"),
    "256 dimensions of 33": (
        ["plan", "--run", "photos", "--set", "model.width=1", "--set", "whiten.dim=256"],
        "256 dimensions for 33 pictures; --set whiten.dim=",
    ),
    "AlexNet at 32": (
        ["plan", "--run", "workers", "--set", "model.input=32"],
        "at least 63 pixels, not 32: --set model.input=",
    ),
    "AlexNet at 62": (
        ["run", "--run", "workers", "--set", "model.input=62"],
        "at least 63 pixels, not 62: --set model.input=",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_before_any_work(clone, case):
    words, told = REFUSED[case]
    before = state(clone)
    done = clone.pipeline(*words, timeout=20)
    assert_refused(done, told, "--set ")
    assert state(clone) == before


# Clusterings at their edges.


def test_copies_of_one_picture_and_one_other_are_two_clusters_of_rank_one(clone):
    told = run(clone, "two")
    assert "final whiten: rank 1 of 8: the other dimensions are zero" in told
    found = clustering(clone, "two")
    assert (found["used"], found["empty"], found["collapsed"]) == (2, 0, True)
    assert found["objective"][-1] == pytest.approx(0, abs=1e-10)
    white = rows(clone.run_path("final/whitened.zarr", "two"))
    assert np.isfinite(white).all() and not white[:, 1:].any()
    sizes = pd.read_parquet(clone.run_path("final/assignments.parquet", "two"))["cluster"].value_counts()
    assert sorted(sizes) == [1, 248]


def test_all_pictures_in_one_cluster_are_told_as_a_collapse_and_not_as_convergence(clone):
    told = run(clone, "single")
    assert "warning: the largest cluster holds 100% of the images" in told
    for where in ("epochs/0001", "epochs/0002", "final"):
        found = clustering(clone, "single", where)
        assert found["collapsed"] is True
        assert found["nmi_labels"] == 0
        assert found["nmi_previous"] in (None, 1.0)
    history = pd.read_csv(clone.run_path("history.csv", "single"))
    assert (history["nmi_labels"] == 0).all()


@pytest.fixture(scope="module")
def copies(clone) -> Project:
    """Fifty pictures, each twenty times, through one epoch with 100 clusters."""
    run(clone, "copies")
    return clone


def test_fewer_distinct_pictures_than_clusters_leave_the_rest_empty_and_labels_dense(copies):
    assert "epoch 1 cluster: 50 clusters used, 50 empty" in copies.run_path("log.txt", "copies").read_text()
    labels = pd.read_parquet(copies.run_path("epochs/0001/pseudolabels.parquet", "copies"))["label"]
    assert sorted(labels) == sorted(list(range(50)) * 20)
    assert copies.run_path("model.safetensors", "copies").exists()


@pytest.fixture
def project(copies, tmp_path) -> Project:
    return copied(copies, tmp_path)


def test_close_vectors_are_assigned_as_in_float64(project):
    rng = np.random.default_rng(0)
    near = np.eye(8)[0] + rng.normal(size=(1000, 8)) * 1e-5
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    put(project.run_path("final/whitened.zarr", "copies"), near)
    done = project.command("python", "-m", "stages.cluster", project.run_path("final", "copies"))
    assert (done.returncode, done.stderr) == (0, "")
    centroids = np.load(project.run_path("final/centroids.npy", "copies")).astype(np.float64)
    distances = ((near.astype(np.float64)[:, None] - centroids[None]) ** 2).sum(2)
    assigned = pd.read_parquet(project.run_path("final/assignments.parquet", "copies"))["cluster"].to_numpy()
    assert (distances[np.arange(1000), assigned] - distances.min(1)).max() <= 1e-12


# Features that are damaged or poor.


@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_a_damaged_chunk_of_features_is_named_with_the_command_that_helps(project, copies, damage):
    folder = project.run_path("epochs/0001", "copies")
    chunk = folder / "features.zarr/c.1.0"
    chunk.unlink() if damage == "deleted" else os.truncate(chunk, 100)
    shutil.rmtree(folder / "whitened.zarr")
    remedy = "`python -m pipeline rerun extract --run copies --epoch 1`"
    what = "is missing" if damage == "deleted" else "has 100 bytes instead of"
    assert_stage_refused(project, "whiten", "copies", "epochs/0001", f"{chunk} {what}", remedy)
    assert not (folder / "whitened.zarr").exists()
    assert_refused(project.pipeline("rerun", "whiten", "--run", "copies", "--epoch", "1"), str(chunk), remedy)
    if damage == "cut":
        return
    helped = project.command(*remedy.strip("`").split())
    assert helped.returncode == 0, helped.stderr
    assert project.command("python", "-m", "stages.whiten", folder).returncode == 0
    assert_same(tree(project.run_path("", "copies")), tree(copies.run_path("", "copies")))


def test_features_of_too_low_rank_are_whitened_with_the_rank_told(project):
    features = np.zeros((1000, 32))
    features[:, 7:12] = np.random.default_rng(0).normal(size=(1000, 5))
    features[:, 20] = 3
    put(project.run_path("final/features.zarr", "copies"), features)
    done = project.command("python", "-m", "stages.whiten", project.run_path("final", "copies"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "rank 5 of 8" in done.stdout
    white = rows(project.run_path("final/whitened.zarr", "copies"))
    assert np.isfinite(white).all() and not white[:, 5:].any()
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("value", "told"), [(0.0, "all features are equal"), (np.nan, "not finite")])
def test_features_without_content_are_refused(project, value, told):
    put(project.run_path("final/features.zarr", "copies"), np.full((1000, 32), value))
    assert_stage_refused(project, "whiten", "copies", "final", "final/features.zarr", told, "rerun extract")


def test_a_network_with_a_weight_that_is_no_number_is_refused_by_who_reads_it(project):
    path = project.run_path("epochs/0001/checkpoint.pt", "copies")
    content = torch.load(path, weights_only=True)
    name = next(
        name for name, value in content["network"].items() if name.startswith("convolutions") and value.ndim == 4
    )
    content["network"][name].view(-1)[0] = float("nan")
    path.unlink()
    torch.save(content, path)
    assert_stage_refused(project, "extract", "copies", "final", "features that are not finite", "branch")


def test_a_loss_that_is_no_number_stops_training_and_leaves_the_checkpoint_before(project):
    first = project.run_path("epochs/0000/checkpoint.pt", "copies")
    content = torch.load(first, weights_only=True)
    for value in content["network"].values():
        if value.is_floating_point():
            value.view(-1)[0] = float("nan")
    first.unlink()
    torch.save(content, first)
    shutil.rmtree(project.run_path("epochs/0001/trained", "copies"))
    words = ("epoch 1, iteration 0: ", "lr 0.02")
    assert_stage_refused(project, "train", "copies", "epochs/0001", *words)
    shown = project.pipeline("status", "--run", "copies")
    assert "epochs/0001:train failed: epoch 1, iteration 0" in shown.stdout


def test_other_threads_are_told_when_a_run_goes_on_with_them(project):
    done = project.pipeline("run", "--run", "copies", "--set", "threads=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "threads: 1, and stages so far used 2: nothing is redone, but last digits may differ" in done.stdout
    again = project.pipeline("rerun", "whiten", "--run", "copies", "--epoch", "final")
    assert again.returncode == 0, again.stderr
    timings = pd.read_csv(project.run_path("timings.csv", "copies"))
    assert timings.iloc[-1][["stage", "threads"]].tolist() == ["whiten", 1]


# Training.


def test_workers_change_no_byte_and_a_last_batch_of_one_picture_trains_at_63_pixels(clone):
    run(clone, "workers")
    first, second = (clone.run_path(f"epochs/{epoch:04d}/trained", "workers") for epoch in (1, 2))
    steps, later = (pd.read_parquet(folder / "steps.parquet") for folder in (first, second))
    assert COUNT % 16 == 1 and steps["images"].sum() == later["images"].sum() == COUNT
    assert np.isfinite(steps["loss"]).all() and np.isfinite(later["loss"]).all()
    assert steps["loss"].tolist() != later["loss"].tolist()
    before = tree(first)
    for number in (1, 4):
        clone.edit({"runs": {"workers": {"workers": number}}})
        shutil.rmtree(first)
        for stage, folder in (("resolve", first.parents[2]), ("train", first.parent)):
            done = clone.command("python", "-m", f"stages.{stage}", folder)
            assert (done.returncode, done.stderr) == (0, "")
        assert yaml.safe_load(clone.run_path("params.yaml", "workers").read_text())["workers"] == number
        assert_same(tree(first), before)
