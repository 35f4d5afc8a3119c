"""pipeline/results/run.py: NMI, what clusters hold, how they go over into others, the groups to take away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_helpers import N, labels, nmi, raw, types

from pipeline import open_run
from pipeline.results.run import Run


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
    folder, names = finished.path("data/images/demo/pictures"), run.images()["path"]
    assert [str(folder / names[image]) for image in table["image"]] == table["path"].tolist()
    assert all(Path(path).is_file() for path in table["path"])


def test_groups_of_any_epoch_are_its_clusters(run):
    table = run.groups(1).sort_values("image")
    assert table["cluster"].tolist() == run.assignments(1)["cluster"].tolist()


def test_sources_of_a_list_are_relative_to_its_folder(finished_copy, tmp_path):
    (tmp_path / "list.txt").write_text("a.png\n")
    run = open_run("demo", finished_copy.root)
    run.params = run.params.model_copy(
        update={"dataset": run.params.dataset.model_copy(update={"path": str(tmp_path / "list.txt")})}
    )
    assert run.sources()[0] == str(tmp_path / run.images()["path"][0])
