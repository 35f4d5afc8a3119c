"""stages/protocols/knn.py: predictions are scikit-learn's, whatever the blocks; ties are decided by order alone."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from stages.protocols import knn
from stages.protocols.knn import knn_classes

RNG = np.random.default_rng(0)


def blobs(n, classes=6, dim=16, noise=1.5, seed=0):
    centres = np.random.default_rng(7).normal(size=(classes, dim))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scale = rng.uniform(0.1, 10, (n, 1))
    return (scale * (centres[labels] + noise * rng.normal(size=(n, dim)))).astype(np.float32), labels


TRAIN, LABELS = blobs(700)
TEST, TRUTH = blobs(300, seed=1)


@pytest.mark.parametrize("count", [1, 10, 20, 200])
def test_votes_are_scikit_learns_with_the_same_weights(count):
    theirs = KNeighborsClassifier(
        count, weights=lambda distance: np.exp((1 - distance) / 0.07), algorithm="brute", metric="cosine"
    ).fit(TRAIN.astype(np.float64), LABELS)
    probabilities = theirs.predict_proba(TEST.astype(np.float64))
    found = knn_classes(TRAIN, LABELS, TEST, [count], top=6)[count]
    np.testing.assert_array_equal(found[:, 0], theirs.predict(TEST.astype(np.float64)))
    for row, order in zip(probabilities, found, strict=True):
        voted = order[order >= 0]
        assert len(voted) == (row > 0).sum()
        assert (np.diff(row[voted]) <= 1e-12).all()


def test_weights_matter():
    """One near neighbour outvotes two far ones."""
    train = np.array([[1, 0], [0.2, 1], [0.2, -1]], np.float32)
    assert knn_classes(train, np.array([1, 0, 0]), np.array([[1.0, 0.0]]), [3])[3][0].tolist() == [1, 0, -1, -1, -1]
    flat = knn_classes(train, np.array([1, 0, 0]), np.array([[1.0, 0.0]]), [3], temperature=100)
    assert flat[3][0, 0] == 0


def test_blocks_change_nothing(monkeypatch):
    whole = knn_classes(TRAIN, LABELS, TEST)
    monkeypatch.setattr(knn, "TEST_ROWS", 7)
    monkeypatch.setattr(knn, "TRAIN_ROWS", 13)
    parts = knn_classes(TRAIN, LABELS, TEST)
    assert list(whole) == [10, 20, 200]
    for count in whole:
        np.testing.assert_array_equal(parts[count], whole[count])


@pytest.mark.parametrize("rows", [5, 4096])
def test_of_equal_neighbours_the_first_count_and_of_equal_votes_the_smaller_class(monkeypatch, rows):
    """Thirty copies of a direction; only two may vote. Products in float32 would differ by where a copy stands."""
    monkeypatch.setattr(knn, "TRAIN_ROWS", rows)
    direction = np.random.default_rng(0).normal(size=300)
    train = (RNG.uniform(0.1, 9, (30, 1)) * direction).astype(np.float64)
    labels = np.array([3, 1] + [0] * 28)
    found = knn_classes(train, labels, 5 * direction[None], [2, 30])
    assert found[2].tolist() == [[1, 3, -1, -1, -1]]
    assert found[30][0, 0] == 0


def test_features_that_are_the_labels_give_100_and_noise_gives_chance():
    truth = RNG.integers(0, 10, 400)
    perfect = knn_classes(np.eye(10)[truth], truth, np.eye(10)[truth], [10])[10]
    assert (perfect[:, 0] == truth).all()
    noise = knn_classes(RNG.normal(size=(2000, 8)), RNG.integers(0, 10, 2000), RNG.normal(size=(2000, 8)), [20])[20]
    truth = RNG.integers(0, 10, 2000)
    assert (noise[:, 0] == truth).mean() == pytest.approx(0.1, abs=5 * np.sqrt(0.09 / 2000))
    assert (noise == truth[:, None]).any(1).mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 2000))


def test_fewer_training_images_than_neighbours():
    found = knn_classes(TRAIN[:3], np.array([2, 0, 2]), TEST[:4], [10, 200])
    np.testing.assert_array_equal(found[10], found[200])
    assert {*found[10][:, :2].ravel()} == {0, 2} and (found[10][:, 2:] == -1).all()


def test_a_feature_of_zeros_is_as_near_to_all():
    assert knn_classes(TRAIN, LABELS, np.zeros((1, 16)), [1])[1][0, 0] == LABELS[0]
