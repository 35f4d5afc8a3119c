"""pipeline/results/run.py: the results of a run by `recipe: deepcluster-v2`, computed again from its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from results_helpers import labels, nmi, raw, types
from stage_helpers import refused
from v2_helpers import DIM, HEADS, VIEWS, K, N, features_of

from pipeline import open_run
from pipeline.cli.tables import pictures_table
from pipeline.results.run import Run
from pipeline.similar import similar
from stages.artifacts.measures import HISTORY

WHERE = {1: "epochs/0001", 2: "epochs/0002", "final": "final"}


@pytest.fixture
def run(finished_v2) -> Run:
    return open_run("demo", finished_v2.root)


@pytest.fixture
def rows(finished_v2) -> np.ndarray:
    """What final/ clusters: the features of the fixed view."""
    return features_of(finished_v2, "final")[:, 0]


def test_history_is_what_the_files_say(finished_v2, run):
    history = run.history()
    assert types(history) == HISTORY
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["images_trained"].tolist()[:2] == [2 * N, 2 * N]
    assert history["clusters"].tolist() == [K] * 3
    assert history[["rank", "effective_rank", "variance_kept"]].isna().all(axis=None)
    truth = labels(finished_v2)
    tables = [raw(finished_v2, f"{where}/assignments.parquet")["cluster"] for where in WHERE.values()]
    for i, clusters in enumerate(tables):
        assert history["nmi_labels"][i] == pytest.approx(nmi(truth, clusters))
        if i:
            assert history["nmi_previous"][i] == pytest.approx(nmi(tables[i - 1], clusters))
    for i, epoch in enumerate((1, 2)):
        steps = raw(finished_v2, f"{WHERE[epoch]}/trained/steps.parquet")
        assert history["loss"][i] == pytest.approx((steps["loss"] * steps["images"]).sum() / steps["images"].sum())
        assert history["accuracy"][i] == pytest.approx(steps["correct"].sum() / steps["images"].sum())
    exported = pd.read_csv(finished_v2.run_path("history.csv"))
    pd.testing.assert_frame_equal(exported[list(HISTORY)].astype(HISTORY), history)


def test_nmi_is_of_the_first_clusterings(finished_v2, run):
    one, two = (raw(finished_v2, f"{WHERE[epoch]}/assignments.parquet")["cluster"] for epoch in (1, 2))
    assert run.nmi(1, 2) == pytest.approx(nmi(one, two))
    assert run.nmi()["previous"][1] == pytest.approx(nmi(one, two))


@pytest.mark.parametrize("epoch", WHERE)
def test_tables_of_an_epoch_have_a_column_or_an_array_for_each_clustering(finished_v2, run, epoch):
    frame = run.assignments(epoch)
    assert list(frame.columns) == ["image", "cluster", "distance", "cluster_1", "cluster_2"]
    assert run.centroids(epoch).shape == (HEADS, K, DIM)
    features = run.features(epoch)
    assert features.shape == (N, VIEWS, DIM)
    assert np.array_equal(features.read(), features_of(finished_v2, WHERE[epoch]))
    assert np.array_equal(np.concatenate(list(features.blocks())), features.read())
    if epoch != "final":
        assert list(run.pseudolabels(epoch).columns) == ["image", "label", "label_1", "label_2"]


def test_assignments_of_all_epochs_are_those_of_the_first_clustering(run):
    frame = run.assignments()
    assert list(frame.columns) == [1, 2, "final"]
    for epoch in frame:
        assert frame[epoch].tolist() == run.assignments(epoch)["cluster"].tolist()


def test_groups_and_clusters_are_those_of_the_first_clustering(run):
    table = run.assignments("final")
    groups = run.groups()
    assert list(groups.columns) == ["path", "image", "cluster", "distance"]
    assert groups.sort_values("image")["cluster"].tolist() == table["cluster"].tolist()
    assert (groups.groupby("cluster")["distance"].diff().dropna() >= 0).all()
    sizes = table["cluster"].value_counts()
    clusters = run.clusters("final").set_index("cluster")
    assert clusters["size"].to_dict() == sizes.to_dict()
    means = table.groupby("cluster")["distance"].mean()
    np.testing.assert_allclose(clusters["mean_distance"].sort_index(), means, rtol=1e-5)


def test_transitions_are_between_the_first_clusterings(run):
    before, after = run.assignments(1)["cluster"], run.assignments(2)["cluster"]
    found = run.transitions(1, 2)
    expected = pd.crosstab(before, after).stack()
    expected = expected[expected > 0].to_dict()
    assert {(a, b): n for a, b, n in zip(found["from"], found["to"], found["images"], strict=True)} == expected


def test_neighbours_are_the_closest_by_the_fixed_view(run, rows):
    squared = ((rows - rows[7]) ** 2).sum(1)
    expected = [i for i in np.argsort(squared, kind="stable") if i != 7][:5]
    found = run.neighbours(7, 5)
    assert found["image"].tolist() == expected
    np.testing.assert_allclose(found["distance"], squared[expected], atol=1e-5)
    assert found["cluster"].tolist() == run.assignments("final")["cluster"][expected].tolist()
    assert pictures_table(similar(run, run.images()["path"][7], 5, "final", None)) is not None


def test_neighbours_of_another_file_go_by_its_features(finished_v2, run, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(run.sources()[7]).read_bytes())
    found = run.neighbours(copy, 3)
    assert found["image"][0] == 7 and found["distance"][0] < 1e-6
    assert found["image"].tolist()[1:] == run.neighbours(7, 2)["image"].tolist()


def test_nearest_pairs_are_the_closest_by_the_fixed_view(run, rows):
    squared = ((rows[:, None].astype(np.float64) - rows[None]) ** 2).sum(2)
    a, b = np.triu_indices(N, 1)
    order = np.argsort(squared[a, b], kind="stable")[:4]
    found = run.nearest_pairs(4)
    assert list(zip(found["image_a"], found["image_b"], strict=True)) == list(zip(a[order], b[order], strict=True))
    np.testing.assert_allclose(found["distance"], squared[a, b][order], atol=1e-5)


@pytest.mark.parametrize("epoch", [1, "final"])
def test_whitened_rows_are_refused_with_what_is_clustered_in_their_place(run, rows, epoch):
    line = refused(lambda: run.whitened(epoch))
    assert "run demo whitens nothing (deepcluster-v2)" in line
    proposed = line[line.index("run.features(") :]
    assert proposed == f"run.features({epoch!r}).read()[:, 0]"
    found = eval(proposed, {"run": run})
    assert found.shape == rows.shape and (epoch != "final" or np.array_equal(found, rows))


def test_the_model_gives_the_features_that_are_clustered(finished_v2, run, rows):
    images = run.packed()
    crops = np.stack([images.centre_crop(i, 16) for i in range(N)])
    with torch.inference_mode():
        found = run.model().features(torch.from_numpy(crops).permute(0, 3, 1, 2))
    np.testing.assert_allclose(found.numpy(), rows, rtol=1e-4, atol=1e-5)
