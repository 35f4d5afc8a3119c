"""stages/cluster.py run alone on a finished run: distances, a collapse, and the classes as clusters."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score
from stage_helpers import N, change, epoch, refused, remove, run_one

from stages.artifacts.chunks import ChunkReader, ChunkWriter
from stages.artifacts.pictures import PackedImages
from stages.method import device_kmeans, device_neighbours

NEAREST = "nearest_others_on"


def test_distances_are_those_to_the_stored_centroids_and_to_none_nearer(finished):
    rows = ChunkReader(epoch(finished, "whitened.zarr"), "").read().astype(np.float64)
    centroids = np.load(epoch(finished, "centroids.npy")).astype(np.float64)
    table = pd.read_parquet(epoch(finished, "assignments.parquet"))
    squared = ((rows[:, None] - centroids[None]) ** 2).sum(2)
    assert table["image"].tolist() == list(range(N))
    assert np.array_equal(table["cluster"], squared.argmin(1))
    assert np.allclose(table["distance"], squared.min(1), atol=1e-6)
    assert json.loads(epoch(finished, "clustering.json").read_text())["objective"][-1] == pytest.approx(
        squared.min(1).mean(), rel=1e-6
    )


def test_a_collapse_is_told_and_marked(finished_copy):
    project = finished_copy
    rows = np.zeros((N, 32), np.float32)
    rows[:, 0] = 1
    rows[160:] = np.eye(32, dtype=np.float32)[1:11]
    remove(epoch(project, "whitened.zarr"))
    ChunkWriter(epoch(project, "whitened.zarr"), (N, 32), "float32").write_all([rows], N)
    assert "warning: the largest cluster holds 94%" in run_one(project, "cluster")
    assert json.loads(epoch(project, "clustering.json").read_text())["collapsed"] is True


def test_ami_is_of_the_labelled_pictures_alone_and_missing_without_any(finished_copy):
    project = finished_copy
    manifest = project.path("data/images/demo/manifest.parquet")
    table = pd.read_parquet(manifest)
    labels = table["label"].where(np.arange(N) % 3 > 0, -1)
    found = []
    for shown in (labels, labels * 0 - 1):
        table.assign(label=shown.astype("int32")).to_parquet(manifest)
        run_one(project, "cluster")
        found.append(json.loads(epoch(project, "clustering.json").read_text())["ami_labels"])
    clusters = pd.read_parquet(epoch(project, "assignments.parquet"))["cluster"]
    expected = adjusted_mutual_info_score(labels[labels >= 0], clusters[labels >= 0])
    assert found == [pytest.approx(expected, abs=1e-9), None]


def test_clusters_of_other_pictures_are_no_previous_clusters(finished_copy):
    project = finished_copy
    path = epoch(project, "assignments.parquet")
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    assert str(path) in refused(lambda: run_one(project, "cluster", "epochs/0002"))
    assert not epoch(project, "assignments.parquet", "epochs/0002").exists()


def test_the_labels_method_makes_the_classes_the_clusters(finished_copy):
    project = finished_copy
    change(project, {"cluster": {"method": "labels"}})
    run_one(project, "cluster")
    labels = PackedImages(project.root / "data/images/demo").label
    assert np.array_equal(pd.read_parquet(epoch(project, "assignments.parquet"))["cluster"], labels)
    assert json.loads(epoch(project, "clustering.json").read_text())["nmi_labels"] == pytest.approx(1)


def test_centroids_are_of_unit_length_on_request(finished_copy):
    change(finished_copy, {"cluster": {"spherical": True}})
    run_one(finished_copy, "cluster")
    centroids = np.load(epoch(finished_copy, "centroids.npy"))
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("method", ["kmeans", "pic"])
def test_rows_and_their_neighbours_are_searched_on_the_runs_device(finished_copy, monkeypatch, method):
    """The CPU stands for it, by a name that goes to torch."""
    searched = []
    for module, name in ((device_kmeans, "search"), (device_kmeans, "assign_on"), (device_neighbours, NEAREST)):
        inner = getattr(module, name)

        def told(*args, inner=inner, name=name, **kwargs):
            searched.append((name, kwargs.get("device") or args[2]))
            return inner(*args, **kwargs)

        monkeypatch.setattr(module, name, told)
    if method == "pic":
        change(finished_copy, {"cluster": {"method": "pic"}})
    monkeypatch.setattr("stages.cluster.device_of", lambda name: torch.device("cpu", 0))
    run_one(finished_copy, "cluster")
    on = dict.fromkeys(["search", "assign_on", NEAREST] if method == "kmeans" else [NEAREST], "cpu:0")
    assert set(searched) == set(on.items())
    # Of PIC the graph, and for either the measure.
    assert [name for name, _ in searched].count(NEAREST) == (2 if method == "pic" else 1)
