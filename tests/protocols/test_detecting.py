"""stages/protocols/detecting.py: suppression against a plain loop, and what reaches the picture's own pixels."""

import numpy as np
import pytest
import torch
from voc_helpers import CLASSES, detector, proposals, squares

from stages.protocols.boxes import clip, decode, iou
from stages.protocols.detecting import Keeping, detect, keep
from stages.protocols.picture_scales import PictureScales, resize


def random_detections(n=80, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, (n, classes + 1, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 25, (n, classes + 1, 2))], 2).astype(float)
    return rng.dirichlet(np.ones(classes + 1), n), boxes


def plain_keep(scores, boxes, keeping):
    """Class by class, the most certain first, each unless a kept one covers it; then the most certain of all."""
    kept = []
    for label in range(1, scores.shape[1]):
        own = []
        for row in sorted(range(len(scores)), key=lambda r: -scores[r, label]):
            if scores[row, label] > keeping.score:
                covered = [iou(boxes[[row], label], boxes[[other], label])[0, 0] for other in own]
                if all(overlap <= keeping.overlap for overlap in covered):
                    own.append(row)
        kept += [(-scores[row, label], label, *boxes[row, label]) for row in own]
    return sorted(kept)[: keeping.most]


@pytest.mark.parametrize("keeping", [Keeping(), Keeping(score=0.4), Keeping(overlap=0.6, most=9)])
def test_what_is_kept_is_that_of_a_plain_loop(keeping):
    scores, boxes = random_detections()
    found = keep(scores, boxes, keeping)
    rows = [(-s, label, *box) for s, label, box in zip(found.score, found.label, found.box, strict=True)]
    assert rows == plain_keep(scores, boxes, keeping) and rows


def test_overlaps_count_the_last_pixel():
    # 3 x 3 and 3 x 2 pixels share 6 of 9; without their last pixels, 2 of 4.
    boxes = np.array([[[0, 0, 2, 2]] * 2, [[0, 0, 2, 1]] * 2], dtype=float)
    scores = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert len(keep(scores, boxes, Keeping(overlap=0.6)).score) == 1
    assert len(keep(scores, boxes, Keeping(overlap=0.7)).score) == 2


def test_the_defaults_are_those_of_fast_rcnn():
    assert Keeping() == Keeping(score=0.05, overlap=0.3, most=100)
    boxes = np.zeros((300, 2, 4))
    boxes[:, 1] = np.arange(300)[:, None] * 20 + [0, 0, 9, 9]
    found = keep(np.column_stack([np.zeros(300), np.linspace(0.06, 0.9, 300)]), boxes, Keeping())
    assert len(found.score) == 100 and found.score.min() > 0.6


def test_detections_are_in_the_pixels_of_the_whole_picture():
    model = detector(dropout=0.0).model.eval()
    picture = squares()[0][0][:50]
    boxes = proposals().clip(0, 49)
    keeping = Keeping(score=0.0, overlap=1.0, most=10**6)
    found = detect(model, picture, boxes, PictureScales((100,), 1000), keeping)
    rois = torch.from_numpy(np.hstack([np.zeros((len(boxes), 1)), 2.0 * boxes]).astype(np.float32))
    with torch.no_grad():
        scores, offsets = model([resize(picture, 2.0)], rois)
    places = clip(decode(boxes[:, None], model.scale.restore(offsets.double().numpy())), 50, 64)
    expected = keep(scores.double().softmax(1).numpy(), places, keeping)
    assert len(found.score) == CLASSES * len(boxes)
    np.testing.assert_allclose(found.box, expected.box)
    np.testing.assert_allclose(found.score, expected.score)
    assert (found.box[:, 2] <= 63).all() and (found.box[:, 3] <= 49).all() and (found.box >= 0).all()


def test_each_proposal_sees_its_own_scale():
    model = detector(dropout=0.0).model.eval()
    picture = squares()[0][0]
    boxes = np.array([[0, 0, 63, 63], [10, 10, 41, 41]])
    # At 448 pixels the second is 224 pixels wide. The first would be 448, and is nearer to 224 squared at 64.
    found = detect(model, picture, boxes, PictureScales((64, 448), 2000), Keeping(0.0, 1.0))
    rois = torch.tensor([[0, 0, 0, 63, 63], [1, 70, 70, 287, 287]], dtype=torch.float32)
    with torch.no_grad():
        scores, _ = model([picture, resize(picture, 7.0)], rois)
    expected = scores.double().softmax(1)[:, 1:].ravel().sort(descending=True).values
    np.testing.assert_allclose(found.score, expected)


def test_no_proposals_are_no_detections():
    found = detect(detector().model, squares()[0][0], np.zeros((0, 4)), PictureScales((64,), 64), Keeping())
    assert found.label.shape == found.score.shape == (0,) and found.box.shape == (0, 4)


def test_detecting_between_two_steps_changes_nothing():
    learner = detector()
    first = detect(learner.model, squares()[0][0], proposals(), PictureScales((64,), 64), Keeping())
    again = detect(learner.model, squares()[0][0], proposals(), PictureScales((64,), 64), Keeping())
    np.testing.assert_array_equal(first.box, again.box)
    assert learner.updates == 0
