"""stages/protocols/detection_metric.py: cases worked by hand, and the definition written out slowly."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.protocols.average_precision import eleven_point
from stages.protocols.detection_metric import Detections, Objects, average_precisions


def objects(*rows):
    """Rows of (image, label, box, difficult)."""
    image, label, box, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Objects(
        np.array(image, int), np.array(label, int), np.array(box, float).reshape(-1, 4), np.array(difficult, bool)
    )


def detections(*rows):
    """Rows of (image, label, score, box)."""
    image, label, score, box = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Detections(
        np.array(image, int), np.array(label, int), np.array(score, float), np.array(box, float).reshape(-1, 4)
    )


A, B, C = (0, 0, 9, 9), (20, 20, 29, 29), (50, 0, 59, 9)
HALF_OF_A = (0, 0, 9, 4)
MOST_OF_A = (0, 0, 9, 5)


def test_a_case_worked_by_hand_with_a_second_find_and_a_difficult_object():
    truth = objects((0, 1, A, False), (0, 1, B, True), (1, 1, A, False))
    found = detections(
        (0, 1, 0.9, A),  # true
        (0, 1, 0.8, MOST_OF_A),  # false: found before
        (0, 1, 0.7, B),  # left out: difficult
        (0, 1, 0.65, B),  # left out again
        (1, 1, 0.6, MOST_OF_A),  # true: 60 of 100 pixels
        (1, 1, 0.5, C),  # false
    )
    # Precision 1, 1/2, 2/3, 1/2 at recall 1/2, 1/2, 1, 1: recalls 0 to .5 see 1, .6 to 1 see 2/3.
    ap = average_precisions(found, truth, 1)
    assert ap.eleven_point.tolist() == pytest.approx([(6 + 5 * 2 / 3) / 11])
    assert ap.area.tolist() == pytest.approx([(1 + 2 / 3) / 2])


def test_an_overlap_of_exactly_half_is_not_enough():
    truth = objects((0, 1, A, False))
    assert average_precisions(detections((0, 1, 1.0, HALF_OF_A)), truth, 1).mean_eleven_point == 0
    assert average_precisions(detections((0, 1, 1.0, MOST_OF_A)), truth, 1).mean_eleven_point == 1
    # Without the pixel that ends a box these would be 36 of 81, under the half.
    assert average_precisions(detections((0, 1, 1.0, (0, 0, 6, 7))), truth, 1).mean_eleven_point == 1


def test_a_detection_counts_for_the_object_that_it_overlaps_most_even_if_that_is_found():
    near = (2, 0, 11, 9)
    truth = objects((0, 1, A, False), (0, 1, near, False))
    # Both overlap A most: the second is false, although it overlaps `near` by more than half.
    ap = average_precisions(detections((0, 1, 0.9, A), (0, 1, 0.8, (0, 0, 9, 9))), truth, 1)
    assert ap.area.tolist() == [0.5]


def test_of_equal_scores_the_earlier_comes_first():
    truth = objects((0, 1, A, False))
    right, wrong = (0, 1, 0.5, A), (0, 1, 0.5, C)
    assert average_precisions(detections(right, wrong), truth, 1).mean_eleven_point == 1
    assert average_precisions(detections(wrong, right), truth, 1).mean_eleven_point == 0.5


def test_a_thousand_equal_scores_keep_their_order():
    rng = np.random.default_rng(0)
    score = rng.choice([0.2, 0.5], 1000)
    # Detections of 0.5 are true in the first half of their order, and no others.
    true = (score == 0.5) & (np.arange(1000) < 500)
    image = np.where(true, np.arange(1000), 1000)
    truth = objects(*((int(i), 1, A, False) for i in np.flatnonzero(true)))
    found = Detections(image, np.ones(1000, int), score, np.tile(np.array(A, float), (1000, 1)))
    assert average_precisions(found, truth, 1).area.tolist() == [1]


def test_classes_and_pictures_are_kept_apart():
    truth = objects((0, 1, A, False), (1, 2, B, False))
    ap = average_precisions(detections((1, 1, 0.9, A), (0, 2, 0.9, B), (0, 2, 0.9, A)), truth, 2)
    assert ap.eleven_point.tolist() == [0, 0]


def test_classes_without_objects_are_not_in_the_mean():
    truth = objects((0, 1, A, False), (0, 3, B, True))
    ap = average_precisions(detections((0, 1, 0.9, A), (0, 2, 0.9, B), (0, 3, 0.9, B)), truth, 3)
    assert ap.eleven_point.tolist() == pytest.approx([1, math.nan, math.nan], nan_ok=True)
    assert ap.mean_eleven_point == 1 and ap.mean_area == 1
    assert math.isnan(average_precisions(detections(), objects(), 2).mean_eleven_point)


def test_nothing_found_is_nothing():
    assert average_precisions(detections(), objects((0, 1, A, False)), 1).mean_eleven_point == 0


def test_three_of_ten_is_a_recall_of_three_tenths():
    assert 0.1 * 3 > 3 / 10, "as floats it would not be"
    assert eleven_point(np.array([True] * 3), 10) == pytest.approx(4 / 11)


def many(n=400, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 50, (n, 2))
    box = np.hstack([corner, corner + rng.integers(5, 50, (n, 2))]).astype(float)
    truth = Objects(np.arange(n), rng.integers(1, 4, n), box, np.zeros(n, bool))
    return truth, rng


def test_a_perfect_detector_has_everything():
    truth, rng = many()
    ap = average_precisions(Detections(truth.image, truth.label, rng.random(400), truth.box), truth, 3)
    assert ap.eleven_point.tolist() == [1, 1, 1] and ap.mean_area == 1


def test_scores_that_say_nothing_give_the_share_of_true_detections():
    truth, rng = many(n=3000)
    # Each object is found once, and once missed, and the scores know nothing of it.
    box = np.concatenate([truth.box, truth.box + 200])
    twice = [np.tile(part, 2) for part in (truth.image, truth.label)]
    ap = average_precisions(Detections(*twice, rng.random(6000), box), truth, 3)
    assert ap.mean_area == pytest.approx(0.5, abs=0.03)


def test_labels_drawn_at_random_give_what_chance_gives():
    truth, rng = many(n=6000)
    ap = average_precisions(Detections(truth.image, rng.integers(1, 4, 6000), rng.random(6000), truth.box), truth, 3)
    # A third of the detections of a class are true, and a third of its objects are found, always the same share.
    assert ap.mean_area == pytest.approx(1 / 9, abs=0.02)
    assert ap.mean_eleven_point == pytest.approx(4 / 11 / 3, abs=0.03)


# The definition, written out one detection at a time in fractions.


def pixels(box):
    return {(x, y) for x in range(int(box[0]), int(box[2]) + 1) for y in range(int(box[1]), int(box[3]) + 1)}


def slow(found, truth, label):
    own = [i for i in range(len(truth.image)) if truth.label[i] == label]
    positives = sum(not truth.difficult[i] for i in own)
    if positives == 0:
        return None
    order = sorted((-found.score[d], d) for d in range(len(found.image)) if found.label[d] == label)
    taken, points, true, false = set(), [], 0, 0
    for _, d in order:
        best, best_overlap = None, Fraction(0)
        for i in own:
            if truth.image[i] == found.image[d]:
                a, b = pixels(found.box[d]), pixels(truth.box[i])
                overlap = Fraction(len(a & b), len(a | b))
                if overlap > best_overlap:
                    best, best_overlap = i, overlap
        if best_overlap > Fraction(1, 2):
            if truth.difficult[best]:
                continue
            if best in taken:
                false += 1
            else:
                taken.add(best)
                true += 1
        else:
            false += 1
        points.append((Fraction(true, positives), Fraction(true, true + false)))
    eleven = sum(max((p for r, p in points if r >= Fraction(t, 10)), default=0) for t in range(11)) / Fraction(11)
    area, last = Fraction(0), Fraction(0)
    for recall in sorted({r for r, _ in points}):
        area += (recall - last) * max(p for r, p in points if r >= recall)
        last = recall
    return float(eleven), float(area)


boxes = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4), st.integers(1, 4)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
truths = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), boxes, st.booleans()), max_size=8)
founds = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.sampled_from([0.1, 0.5, 0.9]), boxes), max_size=14)


@settings(max_examples=200, deadline=None)
@given(truths, founds)
def test_it_is_the_definition(truth_rows, found_rows):
    truth, found = objects(*truth_rows), detections(*found_rows)
    ap = average_precisions(found, truth, 2)
    for label in (1, 2):
        expected = slow(found, truth, label) or (math.nan, math.nan)
        assert ap.eleven_point[label - 1] == pytest.approx(expected[0], nan_ok=True)
        assert ap.area[label - 1] == pytest.approx(expected[1], nan_ok=True)
