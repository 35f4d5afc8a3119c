"""stages/protocols/confusion.py: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from stages.protocols.confusion import confusion, segmentation_scores


def test_a_case_worked_by_hand():
    truth = np.array([[0, 0, 1, 1], [1, 255, 255, 3]], dtype=np.uint8)
    predicted = np.array([[0, 1, 1, 1], [0, 2, 0, 3]], dtype=np.uint8)
    matrix = confusion(truth, predicted, 5)
    assert matrix.tolist() == [[1, 1, 0, 0, 0], [1, 2, 0, 0, 0], [0] * 5, [0, 0, 0, 1, 0], [0] * 5]
    scores = segmentation_scores(matrix)
    # Classes 2 and 4 are nowhere but where the truth is void.
    assert scores.iou.tolist() == pytest.approx([1 / 3, 1 / 2, math.nan, 1, math.nan], nan_ok=True)
    assert scores.mean_iou == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)
    assert scores.mean_accuracy == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)


def test_a_class_that_is_only_predicted_counts_with_zero():
    scores = segmentation_scores(confusion(np.array([0, 0]), np.array([0, 1]), 2))
    assert scores.iou.tolist() == [0.5, 0] and scores.mean_accuracy == 0.5


def labels(seed, n=5000, classes=21):
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, n, p=rng.dirichlet(np.ones(classes)))
    truth[truth == 7] = 255
    predicted = np.where(rng.random(n) < 0.6, truth, rng.integers(0, classes, n))
    predicted[np.isin(predicted, (7, 255))] = 0
    return truth, predicted


@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns_with_void_and_absent_classes(seed):
    truth, predicted = labels(seed)
    # Two pictures: one matrix for both, and not the mean of each one's measures.
    matrix = confusion(truth[:2000], predicted[:2000], 21) + confusion(truth[2000:], predicted[2000:], 21)
    scores = segmentation_scores(matrix)
    seen = truth != 255
    truth, predicted = truth[seen], predicted[seen]
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, predicted, labels=range(21)))
    present = np.union1d(truth, predicted)
    assert 7 not in present and np.isnan(scores.iou[7])
    np.testing.assert_allclose(
        scores.iou[present], jaccard_score(truth, predicted, labels=present, average=None, zero_division=0)
    )
    assert scores.mean_iou == pytest.approx(jaccard_score(truth, predicted, average="macro", zero_division=0))
    assert scores.pixel_accuracy == pytest.approx(accuracy_score(truth, predicted))
    there = np.unique(truth)
    assert scores.mean_accuracy == pytest.approx(recall_score(truth, predicted, labels=there, average="macro"))


def test_the_truth_has_everything():
    truth, _ = labels(0)
    scores = segmentation_scores(confusion(truth, np.where(truth == 255, 0, truth), 21))
    assert scores.mean_iou == scores.pixel_accuracy == scores.mean_accuracy == 1


def test_random_classes_have_what_chance_gives():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 100_000))
    scores = segmentation_scores(confusion(truth, predicted, 4))
    # A quarter is right; what both name is a sixteenth of all pixels, and what one names seven.
    assert scores.pixel_accuracy == pytest.approx(1 / 4, abs=0.01)
    assert scores.mean_iou == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.parametrize(("truth", "predicted"), [([0, 3], [0, 1]), ([0, 1], [0, 3]), ([0, 1], [0, 255])])
def test_a_class_that_there_is_not_is_an_error(truth, predicted):
    with pytest.raises(ValueError, match="where there are 3"):
        confusion(np.array(truth), np.array(predicted), 3)
