"""stages/cluster.py and stages/pseudolabel.py by `recipe: deepcluster-v2`: several clusterings, each of one view."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from results_helpers import nmi
from stage_helpers import change, epoch, refused, run_one, with_network
from v2_helpers import DIM, HEADS, K, N, features_of

from stages import pseudolabel as pseudolabel_module

COLUMNS = ["cluster", "cluster_1", "cluster_2"]
LABELS = ["label", "label_1", "label_2"]


def assignments(project, where="epochs/0001"):
    return pd.read_parquet(epoch(project, "assignments.parquet", where))


def pseudolabels(project, where="epochs/0001"):
    return pd.read_parquet(epoch(project, "pseudolabels.parquet", where))


def assert_nearest(project, where, heads=HEADS):
    """Each picture is in the cluster of the nearest centroid of each clustering, by the view of that clustering."""
    features = features_of(project, where).astype(np.float64)
    centroids = np.load(epoch(project, "centroids.npy", where)).astype(np.float64)
    table = assignments(project, where)
    for head in range(heads):
        squared = ((features[:, head % features.shape[1], None] - centroids[head]) ** 2).sum(2)
        found = squared[np.arange(N), table[["cluster", *(f"cluster_{i}" for i in range(1, heads))][head]]]
        np.testing.assert_allclose(found, squared.min(1), atol=1e-6)
        # By another view they are not all.
        other = ((features[:, (head + 1) % features.shape[1], None] - centroids[head]) ** 2).sum(2)
        assert features.shape[1] == 1 or (other.argmin(1) != squared.argmin(1)).any()
    return table


@pytest.mark.parametrize("where", ["epochs/0001", "epochs/0002", "final"])
def test_each_picture_is_in_the_cluster_of_the_nearest_centroid_in_every_clustering(finished_v2, where):
    table = assert_nearest(finished_v2, where)
    assert list(table.columns) == ["image", "cluster", "distance", "cluster_1", "cluster_2"]
    assert [str(kind) for kind in table.dtypes] == ["int64", "int32", "float32", "int32", "int32"]
    assert table["image"].tolist() == list(range(N))
    assert all(set(table[name]) <= set(range(K)) for name in COLUMNS)


@pytest.mark.parametrize("where", ["epochs/0001", "final"])
def test_centroids_are_unit_vectors_of_each_clustering(finished_v2, where):
    centroids = np.load(epoch(finished_v2, "centroids.npy", where))
    assert (centroids.shape, centroids.dtype) == ((HEADS, K, DIM), np.float32)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=2), 1, rtol=1e-5)
    # Clusterings of one view begin with other centroids.
    assert len(np.unique(centroids.round(4), axis=0)) == HEADS


def test_distances_and_measures_are_those_of_the_first_clustering(finished_v2):
    tables = [assignments(finished_v2, where) for where in ("epochs/0001", "epochs/0002")]
    features = features_of(finished_v2, "epochs/0002")[:, 0]
    centroids = np.load(epoch(finished_v2, "centroids.npy", "epochs/0002"))[0]
    expected = ((features - centroids[tables[1]["cluster"]]) ** 2).sum(1)
    np.testing.assert_allclose(tables[1]["distance"], expected, atol=1e-6)
    report = json.loads(epoch(finished_v2, "clustering.json", "epochs/0002").read_text())
    classes = pd.read_parquet(finished_v2.path("data/images/demo/manifest.parquet"))["label"]
    assert report["objective"][-1] == pytest.approx(expected.mean(), rel=1e-5)
    assert report["nmi_labels"] == pytest.approx(nmi(classes, tables[1]["cluster"]))
    assert report["nmi_previous"] == pytest.approx(nmi(tables[0]["cluster"], tables[1]["cluster"]))
    assert report["used"] == tables[1]["cluster"].nunique()
    assert [report[key] for key in ("rank", "effective_rank", "variance_kept")] == [None] * 3


@pytest.mark.parametrize(("heads", "views"), [(2, 2), (4, 3), (1, 1)])
def test_clusterings_take_the_views_in_turn(v2_copy, heads, views):
    change(v2_copy, {"cluster": {"heads": heads}, "extract": {"views": views}})
    run_one(v2_copy, "extract")
    run_one(v2_copy, "cluster")
    table = assert_nearest(v2_copy, "epochs/0001", heads)
    assert len(table.columns) == 2 + heads
    run_one(v2_copy, "pseudolabel")
    assert len(pseudolabels(v2_copy).columns) == 1 + heads


def test_the_first_clustering_does_not_depend_on_how_many_there_are(v2_copy):
    before = assignments(v2_copy)
    change(v2_copy, {"cluster": {"heads": 2}})
    run_one(v2_copy, "cluster")
    pd.testing.assert_frame_equal(assignments(v2_copy), before[["image", "cluster", "distance", "cluster_1"]])


def test_a_view_that_is_not_finite_is_refused(v2_copy):
    def broken(content):
        content["network"]["projection.3.weight"] *= float("nan")

    with_network(v2_copy, broken)
    assert "not finite" in refused(lambda: run_one(v2_copy, "extract"))


def test_pseudo_labels_are_the_clusters_of_every_clustering(finished_v2):
    table, clusters = pseudolabels(finished_v2), assignments(finished_v2)
    assert list(table.columns) == ["image", *LABELS]
    assert [str(kind) for kind in table.dtypes] == ["int64", "int32", "int32", "int32"]
    for label, cluster in zip(LABELS, COLUMNS, strict=True):
        dense = {old: new for new, old in enumerate(sorted(set(clusters[cluster])))}
        assert table[label].tolist() == clusters[cluster].map(dense).tolist()


def test_pseudo_labels_of_each_clustering_skip_its_own_empty_clusters(v2_copy, monkeypatch):
    clusters = {"cluster": [4] * 30 + [1] * 40, "cluster_1": [0, 2] * 35, "cluster_2": [3] * 70}
    frame = pd.DataFrame({"image": np.arange(N), "distance": np.float32(0)} | clusters)
    frame.astype(dict.fromkeys(COLUMNS, "int32")).to_parquet(epoch(v2_copy, "assignments.parquet"))
    for block in (1 << 16, 33):
        monkeypatch.setattr(pseudolabel_module, "BLOCK", block)
        run_one(v2_copy, "pseudolabel")
        table = pseudolabels(v2_copy)
        assert table["label"].tolist() == [1] * 30 + [0] * 40
        assert table["label_1"].tolist() == [0, 1] * 35
        assert table["label_2"].tolist() == [0] * 70
        assert table["image"].tolist() == list(range(N))


def test_permuted_labels_go_to_other_pictures_together(v2_copy):
    plain = pseudolabels(v2_copy)[LABELS]
    change(v2_copy, {"pseudolabel": {"permuted": True}})
    run_one(v2_copy, "pseudolabel")
    permuted = pseudolabels(v2_copy)[LABELS]
    whole = Counter(plain.itertuples(index=False, name=None))
    assert Counter(permuted.itertuples(index=False, name=None)) == whole
    # Shuffled apart, they would not have come together again.
    assert len(whole) > K
    assert (permuted == plain).all(axis=1).mean() < 0.5
