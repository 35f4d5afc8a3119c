"""stages/baseline.py: k-means on small pictures, against scikit-learn, and where it does no work."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import KNeighborsClassifier
from stage_helpers import RUN, N, change, run_one

from stages import baseline as module
from stages.artifacts.pictures import PackedImages
from stages.dag.names import PIXELS_BASELINE
from stages.method import measures

MEASURES = ("nmi_labels", "ami_labels", "purity", "knn_accuracy")


def made(project):
    return json.loads(project.run_path(PIXELS_BASELINE).read_text())


def again(project):
    run_one(project, "baseline", "")
    return made(project)


def pixels(project):
    """(N, 3072) float64 by Pillow, and the labels."""
    images = PackedImages(project.root / "data/images/demo")
    small = [Image.fromarray(np.array(images[i])).resize((32, 32), Image.Resampling.BILINEAR) for i in range(N)]
    return np.stack([np.asarray(each, np.float64).ravel() for each in small]), images.label


def relabelled(project, labels):
    path = project.path("data/images/demo/manifest.parquet")
    pd.read_parquet(path).assign(label=np.asarray(labels, "int32")).to_parquet(path)


def test_it_measures_what_scikit_learn_does(finished):
    rows, labels = pixels(finished)
    rows = PCA(64, svd_solver="full").fit_transform(rows)
    near = KNeighborsClassifier(11, algorithm="brute").fit(rows, labels).kneighbors(rows, return_distance=False)[:, 1:]
    right = np.mean([np.bincount(labels[others]).argmax() == label for others, label in zip(near, labels, strict=True)])
    found = made(finished)
    assert found.keys() == {"clusters", *MEASURES}
    assert found["clusters"] == 10
    assert found["knn_accuracy"] == pytest.approx(right, abs=0.02)
    # k-means ends elsewhere from other centroids: in how far shows its spread over seeds.
    tries = [KMeans(10, n_init=1, random_state=seed).fit_predict(rows) for seed in range(10)]
    for key, measure in {
        "nmi_labels": lambda found: normalized_mutual_info_score(labels, found, average_method="geometric"),
        "ami_labels": lambda found: adjusted_mutual_info_score(labels, found),
        "purity": lambda found: contingency_matrix(labels, found).max(0).sum() / N,
    }.items():
        values = [measure(each) for each in tries]
        assert min(values) - 0.03 < found[key] < max(values) + 0.03, key


def test_k_means_gets_the_pictures_squashed_whole_on_their_first_components(finished_copy, monkeypatch):
    seen = []
    real = module.kmeans

    def spied(rows, k, **options):
        seen.append((rows, k, options["iterations"]))
        return real(rows, k, **options)

    monkeypatch.setattr(module, "kmeans", spied)
    # Several blocks, the last of another length.
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    change(finished_copy, {"cluster": {"k": 7, "iterations": 3}})
    assert again(finished_copy)["clusters"] == 7
    ((rows, k, iterations),) = seen
    assert (k, iterations, rows.dtype) == (7, 3, np.float32)
    expected = PCA(64, svd_solver="full").fit_transform(pixels(finished_copy)[0])
    # Signs are free; inner products are not.
    np.testing.assert_allclose(rows @ rows.T, expected @ expected.T, rtol=0, atol=1e-5 * (expected**2).sum(1).max())


def test_the_same_bytes_come_again_whatever_the_number_of_workers(finished_copy):
    path = finished_copy.run_path(PIXELS_BASELINE)
    before = path.read_bytes()
    run_one(finished_copy, "baseline", "")
    assert path.read_bytes() == before
    change(finished_copy, {"workers": 0})
    run_one(finished_copy, "baseline", "")
    assert path.read_bytes() == before


def test_without_labels_it_reads_no_picture(finished_copy):
    relabelled(finished_copy, np.full(N, -1))
    shutil.rmtree(finished_copy.path("data/images/demo/pixels.zarr"))
    assert again(finished_copy) == dict.fromkeys(("clusters", *MEASURES))


def test_pictures_without_a_label_are_clustered_and_not_measured(finished_copy, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "to_labels", lambda *words: seen.append(words) or measures.to_labels(*words))
    labels = np.where(np.arange(N) % 3 > 0, np.arange(N) % 10, -1)
    relabelled(finished_copy, labels)
    found = again(finished_copy)
    ((rows, assignment, _),) = seen
    assert len(rows) == len(assignment) == N
    shown = labels >= 0
    assert found["ami_labels"] == pytest.approx(adjusted_mutual_info_score(labels[shown], assignment[shown]))


@pytest.mark.parametrize("method", ["labels", "pic"])
def test_a_method_without_k_is_measured_at_the_number_of_classes(finished_copy, method):
    change(finished_copy, {"cluster": {"method": method}})
    relabelled(finished_copy, np.arange(N) % 6)
    found = again(finished_copy)
    assert found["clusters"] == 6
    assert all(0 <= found[key] <= 1 for key in ("nmi_labels", "purity", "knn_accuracy"))


def test_pictures_all_alike_when_small_are_told_and_stop_no_run(finished_copy, monkeypatch):
    monkeypatch.setattr(module, "squared", lambda *_: np.zeros((32, 32, 3), np.uint8))
    assert "no k-means on pixels, at 32 × 32 all features are equal" in run_one(finished_copy, "baseline", "")
    assert made(finished_copy) == dict.fromkeys(("clusters", *MEASURES))


def test_a_run_has_one_and_its_seed_counts(finished_copy, monkeypatch):
    seeds = []
    real = module.kmeans
    monkeypatch.setattr(module, "kmeans", lambda *a, seed, **b: seeds.append(seed) or real(*a, seed=seed, **b))
    again(finished_copy)
    change(finished_copy, {"seed": 1})
    again(finished_copy)
    assert seeds[0] != seeds[1]
    assert sorted(path.parent.name for path in finished_copy.path(RUN).rglob(PIXELS_BASELINE)) == ["demo"]
