"""stages/protocols/roi_sampling.py: which regions are foreground, against a plain version one region at a time."""

import numpy as np
import pytest

from stages.protocols.boxes import encode, iou
from stages.protocols.roi_sampling import RoISampling, candidates, draw_regions, sample, training_scale

SAMPLING = RoISampling()


def picture(seed=0, objects=4, proposals=400, side=60):
    rng = np.random.default_rng(seed)

    def boxes(n):
        corner = rng.integers(0, side - 12, (n, 2))
        return np.hstack([corner, corner + rng.integers(8, 30, (n, 2))]).clip(0, side - 1)

    truth = boxes(objects)
    near = truth.repeat(20, 0) + rng.integers(-3, 4, (20 * objects, 4))
    labels = rng.integers(1, 4, objects)
    difficult = np.arange(objects) == 1
    return np.vstack([boxes(proposals), near]), truth, labels, difficult


def test_each_region_goes_with_the_object_that_it_overlaps_most():
    proposals, truth, labels, difficult = picture()
    found = candidates(proposals, truth, labels, difficult)
    easy = [i for i in range(len(truth)) if not difficult[i]]
    assert found.boxes.tolist() == [*truth[easy].tolist(), *proposals.tolist()]
    for number, box in enumerate(found.boxes):
        overlaps = [float(iou(box[None], truth[i][None])[0, 0]) for i in easy]
        best = easy[int(np.argmax(overlaps))]
        assert found.overlaps[number] == pytest.approx(max(overlaps))
        if max(overlaps) == 0:
            assert found.labels[number] == 0 and not found.offsets[number].any()
            continue
        assert found.labels[number] == labels[best]
        width, height = box[2] - box[0] + 1, box[3] - box[1] + 1
        own_width, own_height = truth[best][2] - truth[best][0] + 1, truth[best][3] - truth[best][1] + 1
        assert found.offsets[number] == pytest.approx(
            [
                (truth[best][0] + own_width / 2 - box[0] - width / 2) / width,
                (truth[best][1] + own_height / 2 - box[1] - height / 2) / height,
                np.log(own_width / width),
                np.log(own_height / height),
            ]
        )


def test_the_objects_themselves_are_foreground_without_an_offset():
    found = candidates(*picture())
    assert found.overlaps[:3].tolist() == [1, 1, 1] and not found.offsets[:3].any()


def test_a_quarter_is_foreground_and_the_rest_background():
    found = candidates(*picture())
    drawn, labels = sample(found, SAMPLING, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn.tolist())) == 64
    assert (labels > 0).sum() == 16
    assert (found.overlaps[drawn[labels > 0]] >= 0.5).all()
    assert (labels[labels > 0] == found.labels[drawn[labels > 0]]).all()
    background = found.overlaps[drawn[labels == 0]]
    assert (background >= 0.1).all() and (background < 0.5).all()


def test_thresholds_are_those_of_the_parameters_and_closed_below():
    box = [0, 0, 9, 9]
    # 100 pixels; the others hold 50, 49 (not an exact overlap) and 10 of them.
    proposals = np.array([[0, 0, 9, 4], [0, 0, 6, 6], [0, 0, 9, 0], [0, 0, 8, 0]])
    found = candidates(proposals, np.array([box]), np.array([1]), np.array([False]))
    assert found.overlaps.tolist() == pytest.approx([1, 0.5, 0.49, 0.1, 0.09])
    assert found.foreground(SAMPLING).tolist() == [0, 1]
    assert found.background(SAMPLING).tolist() == [2, 3]
    other = RoISampling(foreground_iou=0.6, background_iou=(0.0, 0.3))
    assert found.foreground(other).tolist() == [0] and found.background(other).tolist() == [3, 4]


def test_every_region_is_drawn_about_equally_often():
    found = candidates(*picture())
    foreground = found.foreground(SAMPLING)
    counts = np.zeros(len(found.boxes))
    for seed in range(400):
        drawn, labels = sample(found, SAMPLING, np.random.default_rng(seed))
        counts[drawn[labels > 0]] += 1
    expected = 400 * 16 / len(foreground)
    spread = np.sqrt(expected * (1 - 16 / len(foreground)))
    assert np.abs(counts[foreground] - expected).max() < 5 * spread
    assert counts[np.setdiff1d(np.arange(len(counts)), foreground)].sum() == 0


def test_fewer_regions_where_there_are_not_as_many():
    truth = np.array([[0, 0, 9, 9]])
    found = candidates(np.array([[0, 0, 9, 3]]), truth, np.array([2]), np.array([False]))
    drawn, labels = sample(found, SAMPLING, np.random.default_rng(0))
    assert drawn.tolist() == [0, 1] and labels.tolist() == [2, 0]


@pytest.mark.parametrize("difficult", [True, False])
def test_a_picture_without_an_object_that_counts_is_not_used(difficult):
    truth = np.array([[0, 0, 9, 9]])
    found = candidates(np.array([[0, 0, 9, 8]]), truth, np.array([1]), np.array([difficult]))
    assert found.usable(SAMPLING) is not difficult
    empty = candidates(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, bool))
    assert not empty.usable(SAMPLING) and empty.boxes.shape == (0, 4)


def test_a_flipped_picture_is_the_picture_of_flipped_boxes():
    proposals, truth, labels, difficult = picture()
    flipped = candidates(proposals, truth, labels, difficult).flip(60)

    def mirror(boxes):
        return np.column_stack([59 - boxes[:, 2], boxes[:, 1], 59 - boxes[:, 0], boxes[:, 3]])

    expected = candidates(mirror(proposals), mirror(truth), labels, difficult)
    for part in ("boxes", "labels", "overlaps", "offsets"):
        np.testing.assert_allclose(getattr(flipped, part), getattr(expected, part), atol=1e-12)


@pytest.mark.parametrize("flips", [False, True])
def test_the_scale_is_mean_and_deviation_over_all_foreground(flips):
    pictures = [candidates(*picture(seed)) for seed in range(3)]
    scale = training_scale(iter(pictures), 4, SAMPLING, flips=flips)
    all_pictures = [*pictures, *(p.flip(60) for p in pictures)] if flips else pictures
    for label in (1, 2, 3):
        rows = [
            p.offsets[i]
            for p in all_pictures
            for i in range(len(p.boxes))
            if p.overlaps[i] >= 0.5 and p.labels[i] == label
        ]
        np.testing.assert_allclose(scale.mean[label], np.mean(rows, axis=0), atol=1e-12)
        np.testing.assert_allclose(scale.std[label], np.std(rows, axis=0))
    assert scale.mean[4].tolist() == [0] * 4 and scale.std[4].tolist() == [1] * 4
    if flips:
        assert scale.mean[:, 0] == pytest.approx(0)


def test_the_regions_of_a_batch_are_in_resized_pixels_and_their_targets_are_normalised():
    pictures = [candidates(*picture(seed)) for seed in range(2)]
    scale = training_scale(pictures, 3, SAMPLING, flips=True)
    found = draw_regions(pictures, [2.0, 0.5], scale, SAMPLING, np.random.default_rng(3))
    assert found.rois.shape == (128, 5) and found.rois.dtype == found.targets.dtype == np.float32
    assert found.rois[:, 0].tolist() == [0.0] * 64 + [1.0] * 64
    rng = np.random.default_rng(3)
    for number, factor in enumerate((2.0, 0.5)):
        drawn, labels = sample(pictures[number], SAMPLING, rng)
        part = slice(64 * number, 64 * number + 64)
        np.testing.assert_allclose(found.rois[part, 1:], pictures[number].boxes[drawn] * factor)
        assert found.labels[part].tolist() == labels.tolist()
        for row, label, position in zip(found.targets[part], labels, drawn, strict=True):
            if label:
                mean, std = scale.mean[label], scale.std[label]
                np.testing.assert_allclose(row, (pictures[number].offsets[position] - mean) / std, rtol=1e-5, atol=1e-6)


def test_the_generator_alone_decides():
    found = candidates(*picture())
    first, again, other = (sample(found, SAMPLING, np.random.default_rng(seed))[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_offsets_are_measured_from_the_region_to_the_object():
    found = candidates(np.array([[0, 0, 7, 9]]), np.array([[0, 0, 9, 9]]), np.array([1]), np.array([False]))
    np.testing.assert_allclose(found.offsets[1], encode(np.array([[0, 0, 7, 9]]), np.array([[0, 0, 9, 9]]))[0])
    assert found.offsets[1][2] == pytest.approx(np.log(10 / 8))
