"""stages/protocols/boxes.py: overlaps against pixels that are counted, offsets against the equations in words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.protocols.boxes import OffsetScale, clean, clip, decode, encode, flip, iou, offset_scale, sizes

SIDE = 12


@st.composite
def pixel_boxes(draw, most=5):
    corners = draw(arrays(np.int64, (draw(st.integers(1, most)), 2, 2), elements=st.integers(0, SIDE - 1)))
    return np.sort(corners, axis=1).reshape(-1, 4)


def pixels(box):
    """The pixels of a box: both ends are within it."""
    return {(x, y) for x in range(int(box[0]), int(box[2]) + 1) for y in range(int(box[1]), int(box[3]) + 1)}


@given(pixel_boxes(), pixel_boxes())
def test_overlap_is_that_of_the_pixels(boxes, others):
    found = iou(boxes, others)
    assert found.shape == (len(boxes), len(others)) and found.dtype == np.float64
    for i, box in enumerate(boxes):
        for j, other in enumerate(others):
            a, b = pixels(box), pixels(other)
            assert found[i, j] == pytest.approx(len(a & b) / len(a | b))


@given(pixel_boxes())
def test_sizes_count_the_last_pixel(boxes):
    width, height = sizes(boxes)
    assert [w * h for w, h in zip(width, height, strict=True)] == [len(pixels(box)) for box in boxes]


def test_offsets_of_a_case_worked_by_hand():
    box = np.array([[10, 20, 19, 39]])
    truth = np.array([[15, 20, 34, 59]])
    # 10 x 20 pixels around (15, 30), 20 x 40 pixels around (25, 40).
    assert encode(box, truth)[0] == pytest.approx([1.0, 0.5, math.log(2), math.log(2)])
    assert decode(box, np.array([[1.0, 0.5, math.log(2), math.log(2)]]))[0] == pytest.approx(truth[0])


@given(pixel_boxes(most=1), pixel_boxes(most=1))
def test_decoding_undoes_encoding(box, truth):
    assert decode(box, encode(box, truth)) == pytest.approx(truth)


def test_decoding_broadcasts_over_classes():
    boxes = np.array([[0.0, 0, 9, 9], [5, 5, 8, 8]])
    offsets = np.random.default_rng(0).normal(0, 0.3, (2, 3, 4))
    found = decode(boxes[:, None], offsets)
    for label in range(3):
        np.testing.assert_allclose(found[:, label], decode(boxes, offsets[:, label]))


def test_wild_offsets_of_an_untrained_network_give_boxes_that_can_be_clipped():
    found = clip(decode(np.array([[0, 0, 9, 9]]), np.array([[0.0, 0, 900, 900]])), 30, 40)
    assert found.tolist() == [[0, 0, 39, 29]]


def test_clipping_ends_with_the_last_pixel():
    assert clip(np.array([[-3, 2, 50, 60]]), height=30, width=40).tolist() == [[0, 2, 39, 29]]


@given(pixel_boxes())
def test_a_flipped_box_holds_the_mirrored_pixels(boxes):
    for box, mirrored in zip(boxes, flip(boxes, SIDE), strict=True):
        assert pixels(mirrored) == {(SIDE - 1 - x, y) for x, y in pixels(box)}


def test_flipping_does_not_wrap_around_in_small_integers():
    assert flip(np.array([[0, 0, 200, 9]], dtype=np.uint8), 300).tolist() == [[99, 0, 299, 9]]


def test_proposals_come_once_in_their_order_without_slivers():
    boxes = np.array([[5, 5, 9, 9], [0, 0, 1, 1], [5, 5, 9, 9], [3, 3, 3, 8], [3, 3, 8, 3], [0, 0, 4, 4], [0, 0, 1, 1]])
    assert clean(boxes).tolist() == [[5, 5, 9, 9], [0, 0, 1, 1], [0, 0, 4, 4]]
    assert clean(boxes, least=3).tolist() == [[5, 5, 9, 9], [0, 0, 4, 4]]
    assert clean(np.zeros((0, 4))).shape == (0, 4)


def test_offsets_are_normalised_class_by_class():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    offsets = rng.normal(labels[:, None], 1 + labels[:, None], (200, 4))
    scale = offset_scale(offsets, labels, classes=4)
    normal = scale.normalise(offsets, labels)
    for label in (1, 2, 3):
        assert normal[labels == label].mean(0) == pytest.approx(0, abs=1e-12)
        assert normal[labels == label].std(0) == pytest.approx(1)
    # The background, and class 4, of which there is no box, stay what they are.
    np.testing.assert_array_equal(normal[labels == 0], offsets[labels == 0])
    assert scale.mean[4].tolist() == [0] * 4 and scale.std[4].tolist() == [1] * 4
    restored = scale.restore(np.repeat(normal[:, None], 5, 1))
    np.testing.assert_allclose(restored[np.arange(200), labels], offsets)


def test_a_class_of_one_box_is_not_divided_by_nothing():
    scale = offset_scale(np.array([[0.5, 0, 0, 0]]), np.array([1]), classes=1)
    assert scale.normalise(np.array([[0.5, 0, 0, 0]]), np.array([1])).tolist() == [[0.5, 0, 0, 0]]
    assert isinstance(scale, OffsetScale)
