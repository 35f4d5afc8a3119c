"""stages/protocols/accuracy.py: top-k against scikit-learn, the mean over crops by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from stages.errors import Refusal
from stages.protocols.accuracy import crop_probabilities, ranks, top_classes, topk_accuracy

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(400, 20)).astype(np.float32)
LABELS = RNG.integers(0, 20, 400)


@pytest.mark.parametrize("k", [1, 5, 19])
def test_topk_is_scikit_learns(k):
    expected = top_k_accuracy_score(LABELS, SCORES, k=k, labels=np.arange(20))
    assert topk_accuracy(SCORES, LABELS, k) == pytest.approx(expected)


def test_a_perfect_predictor_has_everything_right():
    assert topk_accuracy(np.eye(20)[LABELS], LABELS, 1) == 1
    assert topk_accuracy(-np.eye(20)[LABELS], LABELS, 19) == 0


@pytest.mark.parametrize("k", [1, 5])
def test_a_random_predictor_has_what_chance_gives(k):
    scores = RNG.random((20_000, 20))
    assert topk_accuracy(scores, RNG.integers(0, 20, 20_000), k) == pytest.approx(k / 20, abs=5 * math.sqrt(0.2 / 2e4))


def test_equal_scores_gain_nothing():
    """A predictor that answers the same for each class is right for the first alone."""
    labels = np.arange(20)
    assert topk_accuracy(np.zeros((20, 20)), labels, 1) == pytest.approx(1 / 20)
    assert ranks(np.zeros((20, 20)), labels).tolist() == list(range(20))


def test_the_first_classes_are_those_that_accuracy_counts():
    coarse = np.round(SCORES)
    first = top_classes(torch.from_numpy(coarse), 5).numpy()
    assert first.shape == (400, 5)
    assert ((first == LABELS[:, None]).any(1) == (ranks(coarse, LABELS) < 5)).all()
    assert top_classes(torch.zeros(1, 3), 5).tolist() == [[0, 1, 2]]


def test_scores_that_are_not_finite_are_refused():
    """Nothing is greater than NaN, so it would count as right."""
    scores = SCORES.copy()
    scores[3] = np.nan
    with pytest.raises(Refusal, match="not finite"):
        topk_accuracy(scores, LABELS, 1)


def test_probabilities_are_averaged_and_not_logits():
    # One crop is sure of class 1; two lean to class 0.
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 9.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    lean, sure = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(9))
    expected = [[(2 * lean + sure) / 3, 1 - (2 * lean + sure) / 3], [lean, 1 - lean]]
    torch.testing.assert_close(crop_probabilities(logits, 3), torch.tensor(expected))
    assert abs(expected[0][0] - float(logits[:3].mean(0).softmax(0)[0])) > 0.3
