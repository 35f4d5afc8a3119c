"""pipeline/results/run.py: documented columns and dtypes, and values computed again from the files."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from results_helpers import DIM, EPOCHS, K, N, labels, nmi, raw, types
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from pipeline import open_run
from stages.artifacts.measures import HISTORY


def test_a_run_is_opened_by_name_from_anywhere_in_the_project(finished, monkeypatch):
    monkeypatch.chdir(finished.run_path("epochs"))
    run = open_run("demo")
    assert run.folder == finished.run_path("").resolve()
    assert run.epochs() == [1, 2]
    assert repr(run) == "Run('demo', 2 of 2 epochs)"
    assert run.params.cluster.k == K


def test_history_has_the_documented_columns_and_types(run):
    assert types(run.history()) == {
        "epoch": "int64",
        "loss": "float64",
        "loss_first": "float64",
        "loss_last": "float64",
        "accuracy": "float64",
        "images_trained": "Int64",
        "lr": "float64",
        "labels": "Int64",
        "nmi_previous": "float64",
        "nmi_labels": "float64",
        "ami_labels": "float64",
        "purity": "float64",
        "reassigned": "float64",
        "knn_accuracy": "float64",
        "clusters": "Int64",
        "used": "Int64",
        "empty": "Int64",
        "singletons": "Int64",
        "largest_share": "float64",
        "entropy": "float64",
        "collapsed": "boolean",
        "objective": "float64",
        "iterations": "Int64",
        "rank": "Int64",
        "effective_rank": "float64",
        "variance_kept": "float64",
        "pixels_nmi": "float64",
        "pixels_ami": "float64",
        "pixels_purity": "float64",
        "pixels_knn": "float64",
    }


def test_history_is_what_the_files_say(finished, run):
    history = run.history()
    assert history["epoch"].tolist() == [1, 2, 3]
    truth = labels(finished)
    tables = [raw(finished, f"{where}/assignments.parquet") for where in ("epochs/0001", "epochs/0002", "final")]
    for i, table in enumerate(tables):
        row = history.iloc[i]
        clusters = table["cluster"]
        sizes = clusters.value_counts()
        assert row["nmi_labels"] == pytest.approx(nmi(truth, clusters))
        assert row["ami_labels"] == pytest.approx(adjusted_mutual_info_score(truth, clusters))
        assert row["purity"] == pytest.approx(contingency_matrix(truth, clusters).max(0).sum() / N)
        assert row["objective"] == pytest.approx(table["distance"].mean(), rel=1e-4)
        assert (row["used"], row["clusters"], row["empty"]) == (len(sizes), K, K - len(sizes))
        assert row["largest_share"] == pytest.approx(sizes.max() / N)
        assert row["entropy"] == pytest.approx(-(sizes / N * np.log(sizes / N)).sum())
        assert row["singletons"] == (sizes == 1).sum()
        if i:
            assert row["nmi_previous"] == pytest.approx(nmi(tables[i - 1]["cluster"], clusters))
    assert np.isnan(history["nmi_previous"][0])
    for i, epoch in enumerate(EPOCHS):
        steps = raw(finished, f"epochs/{epoch:04d}/trained/steps.parquet")
        assert history["loss"][i] == pytest.approx((steps["loss"] * steps["images"]).sum() / steps["images"].sum())
        assert history["accuracy"][i] == pytest.approx(steps["correct"].sum() / steps["images"].sum())
        assert (history["loss_first"][i], history["loss_last"][i]) == (steps["loss"].iloc[0], steps["loss"].iloc[-1])
        assert history["images_trained"][i] == N
        assert history["lr"][i] == run.params.train.lr
    assert history["loss"].isna().tolist() == [False, False, True]


def test_a_final_clustering_of_an_earlier_version_lacks_later_measures(finished_copy):
    path = finished_copy.run_path("final/clustering.json")
    content = json.loads(path.read_text())
    del content["ami_labels"], content["purity"]
    path.write_text(json.dumps(content))
    history = open_run("demo", finished_copy.root).history()
    assert history["ami_labels"].isna().tolist() == history["purity"].isna().tolist() == [False, False, True]


def test_history_has_k_means_on_pixels_in_every_row_once_it_is_made_for_its_clusters(finished_copy):
    path = finished_copy.run_path("baseline.json")
    made = json.loads(path.read_text())
    columns = {"pixels_nmi": "nmi_labels", "pixels_ami": "ami_labels", "pixels_purity": "purity"}
    columns["pixels_knn"] = "knn_accuracy"

    def shown():
        return open_run("demo", finished_copy.root).history()[list(columns)]

    assert shown().drop_duplicates().to_dict("records") == [{name: made[key] for name, key in columns.items()}]
    resolved = finished_copy.run_path("params.yaml")
    before = resolved.read_text()
    resolved.write_text(before.replace("  k: 10\n", "  k: 11\n"))
    assert resolved.read_text() != before
    assert shown().isna().all(axis=None)
    resolved.write_text(before)
    path.unlink()
    assert shown().isna().all(axis=None) and set(types(shown()).values()) == {"float64"}


def test_history_equals_the_exported_table(finished, run):
    exported = pd.read_csv(finished.run_path("history.csv"))
    pd.testing.assert_frame_equal(exported[list(HISTORY)].astype(HISTORY), run.history())


@pytest.mark.parametrize("epoch", [1, 2, "final"])
def test_assignments_of_an_epoch(finished, run, epoch):
    frame = run.assignments(epoch)
    assert types(frame) == {"image": "int64", "cluster": "int32", "distance": "float32"}
    assert frame["image"].tolist() == list(range(N))
    where = "final" if epoch == "final" else f"epochs/{epoch:04d}"
    rows = zarr.open_array(finished.run_path(f"{where}/whitened.zarr"), mode="r")[:].astype(np.float64)
    centroids = np.load(finished.run_path(f"{where}/centroids.npy")).astype(np.float64)
    distances = ((rows[:, None] - centroids[None]) ** 2).sum(-1)
    assert np.allclose(distances[np.arange(N), frame["cluster"]], frame["distance"], atol=1e-5)
    assert np.allclose(distances.min(1), frame["distance"], atol=1e-5)


def test_assignments_of_all_epochs_are_a_column_each(run):
    frame = run.assignments()
    assert list(frame.columns) == [1, 2, "final"]
    assert (frame.index.name, frame.columns.name, len(frame)) == ("image", "epoch", N)
    assert set(types(frame).values()) == {"int32"}
    for epoch in frame:
        assert frame[epoch].tolist() == run.assignments(epoch)["cluster"].tolist()


def test_images_lead_back_to_their_files(finished, run):
    table = run.images()
    assert list(table.columns) == ["image", "path", "label", "class", "height", "width", "sha256"]
    found = types(table)
    assert (found["image"], found["label"], found["height"], found["width"]) == ("int64", "int32", "int32", "int32")
    assert len(table) == N
    for row in table.iloc[[0, 17, N - 1]].to_dict("records"):
        file = finished.path("data/images/demo/pictures") / row["path"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
        assert file.parent.name == row["class"]
        assert min(row["height"], row["width"]) == 72


@pytest.mark.parametrize("image", [0, 17, N - 1])
def test_an_image_is_the_packed_picture(finished, run, image):
    picture = run.image(image)
    row = run.images().loc[image]
    assert (picture.mode, picture.size) == ("RGB", (row["width"], row["height"]))
    array = zarr.open_array(finished.path("data/images/demo/pixels.zarr"), mode="r")
    place = pd.read_parquet(finished.path("data/images/demo/manifest.parquet")).loc[image]
    start = int(place["chunk"]) * array.chunks[0] + int(place["offset"])
    stored = array[start : start + row["height"] * row["width"] * 3]
    assert np.asarray(picture).ravel().tolist() == stored.tolist()


@pytest.mark.parametrize(("method", "file", "width"), [("features", "features", 256), ("whitened", "whitened", DIM)])
def test_rows_come_lazily_and_whole(finished, run, method, file, width):
    rows = getattr(run, method)(2)
    assert tuple(rows.shape) == (N, width)
    stored = zarr.open_array(finished.run_path(f"epochs/0002/{file}.zarr"), mode="r")[:]
    assert np.array_equal(rows.read(), stored)
    blocks = list(rows.blocks())
    assert [len(block) for block in blocks] == [64, 64, 42]
    assert np.array_equal(np.concatenate(blocks), stored)


def test_centroids_pseudolabels_and_steps(run):
    assert (run.centroids(1).shape, run.centroids(1).dtype) == ((K, DIM), np.float32)
    pseudo = run.pseudolabels(1)
    assert types(pseudo) == {"image": "int64", "label": "int32"}
    steps = run.steps(1)
    assert types(steps) == {
        "iteration": "int32",
        "images": "int32",
        "loss": "float64",
        "correct": "int32",
        "lr": "float64",
    }
    assert steps["images"].sum() == N and steps["images"].max() == 32


def test_the_model_gives_the_features_of_the_epoch_after(run):
    # Epoch 2 clusters what the network of epoch 1 sees.
    side = run.params.model.input
    crops = []
    for image in range(8):
        picture = run.image(image)
        left, top = round((picture.width - side) / 2), round((picture.height - side) / 2)
        crops.append(np.asarray(picture.crop((left, top, left + side, top + side))))
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    model = run.model(1)
    assert isinstance(model, torch.nn.Module) and not model.training
    with torch.no_grad():
        features = model.features(batch)
    assert np.allclose(features.numpy(), run.features(2).read()[:8], atol=1e-4)


def test_the_model_is_the_last_finished_one_unless_named(run):
    def weights(epoch=None):
        return torch.cat([value.flatten().float() for value in run.model(epoch).state_dict().values()])

    assert torch.equal(weights(), weights(2))
    assert not torch.equal(weights(), weights(1))
    assert not torch.equal(weights(0), weights(1))


def test_timings_have_a_row_a_stage_and_the_documented_types(run):
    table = run.timings()
    found = types(table)
    assert list(table.columns) == [
        "epoch",
        "stage",
        "pid",
        "seconds",
        "peak_anon_mb",
        "images_per_s",
        "threads",
        "device",
        "versions",
    ]
    assert (found["pid"], found["threads"]) == ("int64", "int64")
    assert [found[name] for name in ("seconds", "peak_anon_mb", "images_per_s")] == ["float64"] * 3
    assert table.groupby("epoch")["stage"].count()[["1", "2", "final"]].tolist() == [6, 6, 3]
    assert table["pid"].nunique() == 1
    assert table.loc[table["stage"] == "extract", "images_per_s"].notna().all()


def test_names_that_are_no_text_lead_back_to_their_bytes(finished_copy):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    frame.loc[0, "path"] = b"caf\xe9.jpg"
    frame.to_parquet(manifest)
    assert os.fsencode(open_run("demo", finished_copy.root).images()["path"][0]) == b"caf\xe9.jpg"


def test_classes_that_are_no_text_are_named_by_their_bytes(finished_copy):
    pack = finished_copy.path("data/images/demo/pack.json")
    content = json.loads(pack.read_text())
    content["classes"][0] = os.fsdecode(b"caf\xe9")
    pack.write_text(json.dumps(content))
    run = open_run("demo", finished_copy.root)
    table = run.images()
    assert {os.fsencode(name) for name in table.loc[table["label"] == 0, "class"]} == {b"caf\xe9"}
    assert len(run.clusters(1)) == run.assignments(1)["cluster"].nunique()
