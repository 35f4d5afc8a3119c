"""stages/protocols/average_precision.py: by the definitions in fractions, and what is known without computing."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.protocols.average_precision import average_precisions, eleven_point


def one(scores, labels):
    """Both measures of one class."""
    found = average_precisions(np.array(scores, np.float64)[:, None], np.array(labels, np.uint8)[:, None])
    return found.area[0], found.eleven_point[0]


def by_definition(scores, labels):
    """Both measures in fractions; among equal scores those that show the class come last, together."""
    kept = sorted((-score, label) for score, label in zip(scores, labels, strict=True) if label != 255)
    positives = sum(label for _, label in kept)
    points = []
    for rank in range(1, len(kept) + 1):
        found = sum(label for _, label in kept[:rank])
        points.append((Fraction(found, positives), Fraction(found, rank)))
    area, before = Fraction(0), Fraction(0)
    for rank, (recall, precision) in enumerate(points, start=1):
        if rank == len(kept) or kept[rank] != kept[rank - 1]:
            area += (recall - before) * precision
            before = recall
    best = [max((p for r, p in points if r >= Fraction(i, 10)), default=Fraction(0)) for i in range(11)]
    return float(area), float(sum(best) / 11)


answers = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1, 255])), min_size=1, max_size=60)


@settings(derandomize=True, deadline=None)
@given(answers)
def test_both_measures_are_their_definitions(answers):
    scores, labels = zip(*answers, strict=True)
    if 1 in labels:
        assert one(scores, labels) == pytest.approx(by_definition(scores, labels), abs=1e-12)
    else:
        assert np.isnan(one(scores, labels)).all()


def test_a_case_worked_by_hand():
    """Right, wrong, right, wrong, of 2: precisions 1 and 2/3; 6 recalls up to 0.5 have 1, the 5 beyond 2/3."""
    assert one([4, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx((5 / 6, (6 + 5 * 2 / 3) / 11))


def test_a_recall_that_is_met_exactly_counts():
    """3 of 10 is the recall 0.3, although 3 / 10 < 3 * 0.1 in floats."""
    hits = np.array([True] * 3 + [False] * 7)
    assert eleven_point(hits, 10) == pytest.approx(4 / 11)


def test_a_perfect_predictor_has_100_and_the_worst_the_share_of_the_class():
    labels = np.random.default_rng(0).choice([0, 1, 255], (300, 5), p=[0.7, 0.2, 0.1]).astype(np.uint8)
    perfect = average_precisions(np.where(labels == 1, 2.0, 1.0), labels)
    assert perfect.mean_area == 1 and perfect.mean_eleven_point == 1
    worst = average_precisions(np.where(labels == 1, 1.0, 2.0), labels)
    counted = (labels != 255).sum(0)
    assert worst.area == pytest.approx((labels == 1).sum(0) / counted)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_random_predictor_has_the_share_of_images_that_show_the_class(share):
    rng = np.random.default_rng(1)
    labels = (rng.random((5000, 8)) < share).astype(np.uint8)
    found = average_precisions(rng.random((5000, 8)), labels)
    assert found.mean_area == pytest.approx(share, rel=0.1)
    # The greatest precision beyond a recall is above chance, most for few answers.
    assert share < found.mean_eleven_point < 2 * share


def test_a_predictor_that_tells_nothing_apart_gains_nothing():
    labels = np.zeros((1000, 1), np.uint8)
    labels[:100] = 1
    for order in (labels, labels[::-1]):
        found = average_precisions(np.full((1000, 1), 7.0), order)
        assert found.mean_area == found.mean_eleven_point == 0.1


def test_ties_of_float32_scores_are_broken_too():
    scores = np.full((4, 1), 300.0, np.float32)
    assert average_precisions(scores, np.array([[1], [0], [0], [0]], np.uint8)).mean_area == 0.25


def test_difficult_images_are_left_out_of_their_class_alone():
    scores = np.array([[9.0, 9.0], [5.0, 1.0], [1.0, 5.0]])
    labels = np.array([[255, 0], [1, 1], [0, 255]], np.uint8)
    assert average_precisions(scores, labels).area.tolist() == [1.0, 0.5]


def test_a_class_that_no_image_shows_is_left_out_of_the_mean():
    labels = np.array([[1, 0], [0, 0], [0, 255]], np.uint8)
    found = average_precisions(np.array([[2.0, 1.0], [1.0, 2.0], [0.0, 3.0]]), labels)
    assert found.area[0] == 1 and np.isnan(found.area[1]) and found.mean_area == 1
    assert np.isnan(average_precisions(np.ones((2, 1)), np.zeros((2, 1), np.uint8)).mean_area)
