"""The pandas access: documented columns and dtypes, and values computed again from the files."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from pipeline_helpers import params_of, unlink
from sklearn.metrics import normalized_mutual_info_score

from pipeline import open_run
from pipeline.access import HISTORY_TYPES, Run, runs
from stages.errors import Refusal
from stages.resolve import render

N, K, DIM, EPOCHS = 170, 10, 32, (1, 2)


@pytest.fixture
def run(finished) -> Run:
    return open_run("demo", finished.root)


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def nmi(a: Any, b: Any) -> float:
    return normalized_mutual_info_score(a, b, average_method="geometric")


def raw(finished, name: str) -> pd.DataFrame:
    return pd.read_parquet(finished.run_path(name))


def labels(finished) -> np.ndarray:
    return pd.read_parquet(finished.path("data/images/demo/manifest.parquet"))["label"].to_numpy()


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


def test_history_equals_the_exported_table(finished, run):
    exported = pd.read_csv(finished.run_path("history.csv"))
    pd.testing.assert_frame_equal(exported[list(HISTORY_TYPES)].astype(HISTORY_TYPES), run.history())


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


def test_nmi_is_a_table_or_one_number(finished, run):
    table = run.nmi()
    assert types(table) == {"epoch": "int64", "previous": "float64", "labels": "float64"}
    assert table["epoch"].tolist() == [1, 2, 3]
    first, last = run.assignments(1)["cluster"], run.assignments("final")["cluster"]
    assert run.nmi(1, "final") == pytest.approx(nmi(first, last))
    assert run.nmi(1, 1) == pytest.approx(1.0)
    assert table["labels"].iloc[-1] == pytest.approx(nmi(labels(finished), last))
    assert table["previous"].iloc[1] == pytest.approx(run.nmi(1, 2))


def test_clusters_count_their_images_and_name_the_commonest_class(finished, run):
    table = run.clusters(2)
    assert types(table)["cluster"] == "int32"
    assert (types(table)["size"], types(table)["mean_distance"], types(table)["purity"]) == (
        "int64",
        "float32",
        "float64",
    )
    assert list(table.columns) == ["cluster", "size", "mean_distance", "label", "purity"]
    assert table["size"].is_monotonic_decreasing
    assert table["size"].sum() == N
    names = json.loads(finished.path("data/images/demo/pack.json").read_text())["classes"]
    frame, truth = run.assignments(2), labels(finished)
    for row in table.to_dict("records"):
        members = frame["cluster"].to_numpy() == row["cluster"]
        votes = np.bincount(truth[members], minlength=len(names))
        assert row["size"] == members.sum()
        assert row["purity"] == pytest.approx(votes.max() / members.sum())
        assert votes[names.index(row["label"])] == votes.max()
        assert row["mean_distance"] == pytest.approx(frame["distance"][members].mean(), rel=1e-5)


def test_clusters_without_labels_have_no_purity(finished_copy):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest).assign(label=np.int32(-1))
    frame.to_parquet(manifest)
    assert list(open_run("demo", finished_copy.root).clusters(1)) == ["cluster", "size", "mean_distance"]


def test_purity_counts_only_the_labelled_images(finished_copy):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    run = open_run("demo", finished_copy.root)
    largest = int(run.clusters(1)["cluster"][0])
    members = np.flatnonzero(run.assignments(1)["cluster"] == largest)
    frame["label"] = np.int32(-1)
    frame.loc[members[:3], "label"] = np.int32([4, 4, 2])
    frame.to_parquet(manifest)
    row = run.clusters(1).set_index("cluster").loc[largest]
    assert row["purity"] == pytest.approx(2 / 3)
    assert row["label"] == run.images()["class"][members[0]]


OLD = [0] * 10 + [1] * 10 + [2] * 4 + [3] * 6
NEW = [5] * 9 + [6] * 1 + [7] * 5 + [8] * 5 + [9] * 2 + [6] * 2 + [9] * 6
"""Of the old clusters 0 lives on as 5; 1 splits into 7 and 8; 3 swallows half of 2 in 9."""

FLOWS = [
    # from, to, images, of the old, of the new, kind
    (0, 5, 9, 9 / 10, 9 / 9, "kept"),
    (3, 9, 6, 6 / 6, 6 / 8, "kept"),
    (1, 7, 5, 5 / 10, 5 / 5, "split"),
    (1, 8, 5, 5 / 10, 5 / 5, "split"),
    (2, 6, 2, 2 / 4, 2 / 3, "split"),
    (2, 9, 2, 2 / 4, 2 / 8, "leaked"),
    (0, 6, 1, 1 / 10, 1 / 3, "leaked"),
]


def rewritten(project, clusters: dict[int, list[int]]) -> Run:
    for epoch, values in clusters.items():
        table = pd.DataFrame({"image": range(len(values)), "cluster": np.int32(values), "distance": np.float32(0)})
        table.to_parquet(project.run_path(f"epochs/{epoch:04d}/assignments.parquet"))
    return open_run("demo", project.root)


def test_transitions_share_out_the_images_of_both_sides(finished_copy):
    table = rewritten(finished_copy, {1: OLD, 2: NEW}).transitions(1, 2)
    assert types(table)["from"] == types(table)["to"] == "int32"
    assert (types(table)["images"], types(table)["share_from"], types(table)["share_to"]) == (
        "int64",
        "float64",
        "float64",
    )
    assert list(table.columns) == ["from", "to", "images", "share_from", "share_to", "kind"]
    found = sorted(map(tuple, table.itertuples(index=False)))
    for row, expected in zip(found, sorted(FLOWS), strict=True):
        assert row[:3] == expected[:3] and row[5] == expected[5]
        assert row[3:5] == pytest.approx(expected[3:5])
    assert table["images"].is_monotonic_decreasing


def test_merged_and_died_clusters_are_told_apart(finished_copy):
    # 0 and 1 go whole into 5, half of it each; 2 is scattered over clusters that others fill.
    old = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 6 + [4] * 6
    new = [5] * 8 + [6, 6, 7, 7] + [6] * 6 + [7] * 6
    table = rewritten(finished_copy, {1: old, 2: new}).transitions(1, 2)
    kinds = {(row["from"], row["to"]): row["kind"] for row in table.to_dict("records")}
    assert kinds == {
        (0, 5): "merged",
        (1, 5): "merged",
        (2, 6): "died",
        (2, 7): "leaked",
        (3, 6): "kept",
        (4, 7): "kept",
    }


def test_transitions_of_real_epochs_add_up(run):
    table = run.transitions(2, "final")
    assert table["images"].sum() == N
    assert np.allclose(table.groupby("from")["share_from"].sum(), 1)
    assert np.allclose(table.groupby("to")["share_to"].sum(), 1)
    counts = pd.crosstab(run.assignments(2)["cluster"], run.assignments("final")["cluster"])
    assert all(counts.loc[row["from"], row["to"]] == row["images"] for row in table.to_dict("records"))


def test_groups_are_the_final_clusters_with_their_most_typical_pictures_first(finished, run):
    table = run.groups()
    assert list(table.columns) == ["path", "image", "cluster", "distance"]
    assert (types(table)["image"], types(table)["cluster"], types(table)["distance"]) == ("int64", "int32", "float32")
    assert all(isinstance(path, str) for path in table["path"])
    pairs = list(zip(table["cluster"], table["distance"], strict=True))
    assert pairs == sorted(pairs)
    final = raw(finished, "final/assignments.parquet").set_index("image")
    assert sorted(table["image"]) == list(range(N))
    assert (final["cluster"].loc[table["image"]].to_numpy() == table["cluster"].to_numpy()).all()
    names = run.images()["path"]
    assert (names.loc[table["image"]].to_numpy() == table["path"].to_numpy()).all()


def test_images_lead_back_to_their_files(finished, run):
    import hashlib

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
    assert types(pseudo) == {"image": "int64", "label": "int32", "weight": "float64"}
    assert pseudo.groupby("label")["weight"].sum().to_numpy() == pytest.approx(1 / pseudo["label"].nunique())
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


# ---------------------------------------------------------------- while a run goes on


@pytest.fixture
def going_on(finished_copy):
    """As it is in the middle of epoch 2: the clustering is there, the network is not."""
    epoch = finished_copy.run_path("epochs/0002")
    unlink(epoch / "trained", epoch / "checkpoint.pt", epoch / "metrics.json", finished_copy.run_path("final"))
    unlink(finished_copy.run_path("model.safetensors"), finished_copy.run_path("history.csv"))
    (epoch / ".partial-train").mkdir()
    return finished_copy


def test_everything_finished_is_there_while_the_run_goes_on(going_on):
    run = open_run("demo", going_on.root)
    assert run.epochs() == [1]
    assert run.history()["epoch"].tolist() == [1]
    assert types(run.history()) == HISTORY_TYPES
    assert list(run.assignments().columns) == [1, 2]
    assert run.nmi()["epoch"].tolist() == [1]
    assert 0 < run.nmi(1, 2) < 1
    assert run.clusters(2)["size"].sum() == N
    assert run.transitions(1, 2)["images"].sum() == N
    assert len(run.images()) == N and run.image(3).size[0] >= 64
    assert run.features(2).shape[0] == N and len(run.pseudolabels(2)) == N
    assert len(run.timings()) > 0
    first = run.model(1).state_dict()
    assert all(torch.equal(value, first[name]) for name, value in run.model().state_dict().items())
    assert runs(going_on.root).set_index("run").loc["demo", "epochs"] == 1


def test_everything_is_empty_and_typed_before_the_first_epoch_ends(going_on):
    unlink(going_on.run_path("epochs/0001/metrics.json"))
    run = open_run("demo", going_on.root)
    assert run.epochs() == [] and len(run.history()) == 0 and len(run.nmi()) == 0
    assert types(run.history()) == HISTORY_TYPES
    assert run.model().features(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 256)


def test_groups_before_the_end_are_refused(going_on):
    with pytest.raises(Refusal, match="final"):
        open_run("demo", going_on.root).groups()


def test_the_final_clustering_of_fewer_epochs_is_no_row_of_a_run_that_goes_on(finished_copy):
    # Epochs were added: final/ still holds the clustering of the network after epoch 2, and no later one.
    finished_copy.edit({"epochs": 5})
    finished_copy.run_path("params.yaml").write_bytes(render(params_of(finished_copy.root)))
    assert open_run("demo", finished_copy.root).history()["epoch"].tolist() in ([1, 2], [1, 2, 3])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.assignments(99),
        lambda run: run.assignments(0),
        lambda run: run.assignments("last"),
        lambda run: run.nmi(1),
        lambda run: run.nmi(1, 99),
        lambda run: run.clusters(99),
        lambda run: run.transitions(1, 99),
        lambda run: run.features(99),
        lambda run: run.whitened(0),
        lambda run: run.centroids(99),
        lambda run: run.pseudolabels(99),
        lambda run: run.steps(99),
        lambda run: run.model(99),
        lambda run: run.image(N),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(run, ask):
    with pytest.raises(Refusal) as refused:
        ask(run)
    assert "\n" not in str(refused.value)


def test_an_unknown_run_is_refused_with_those_that_are_known(finished):
    with pytest.raises(Refusal, match=r"nope has not begun \(known: demo\).*pipeline run --run nope"):
        open_run("nope", finished.root)


def test_a_folder_outside_any_project_is_refused(tmp_path):
    with pytest.raises(Refusal, match="not inside a clone"):
        open_run("demo", tmp_path)


def test_a_missing_chunk_of_features_is_refused_with_the_command_that_makes_it(finished_copy):
    unlink(finished_copy.run_path("epochs/0002/features.zarr/c.1.0"))
    with pytest.raises(Refusal, match=r"c\.1\.0.*rerun extract --run demo --epoch 2"):
        open_run("demo", finished_copy.root).features(2).read()


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


def test_runs_are_listed_with_their_size_on_disk(finished):
    table = runs(finished.root).set_index("run")
    files = [path for path in finished.run_path("").rglob("*") if path.is_file()]
    once = {path.stat().st_ino: path.stat().st_size for path in files}
    row = table.loc["demo"]
    assert (row["dataset"], row["epochs"], row["planned"]) == ("demo", 2, 2)
    assert row["gigabytes"] == pytest.approx(sum(once.values()) / 1e9)
    assert row["nmi_labels"] == pytest.approx(open_run("demo", finished.root).nmi()["labels"].iloc[-1])
    assert table.loc["imagenet-vgg16", "epochs"] == 0
