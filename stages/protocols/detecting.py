"""What a trained Fast R-CNN finds in a picture (section 4.4; Girshick 2015, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from stages.method.networks import autocast
from stages.protocols.boxes import clip, decode
from stages.protocols.fast_rcnn import FastRCNN
from stages.protocols.picture_scales import PictureScales, nearest_scale, resize


@dataclass(frozen=True)
class Keeping:
    """Which detections of a picture are kept.

    Attributes:
        score: what a score exceeds.
        overlap: intersection over union with a more certain one of the same class above which one is dropped.
        most: of one picture, over all classes.
    """

    score: float = 0.05
    overlap: float = 0.3
    most: int = 100


@dataclass(frozen=True)
class Found:
    """The detections of one picture, the most certain first.

    Attributes:
        label: (D,) class from 1.
        score: (D,) probability.
        box: (D, 4) pixels as in `stages.protocols.boxes`.
    """

    label: NDArray[np.int64]
    score: NDArray[np.float64]
    box: NDArray[np.float64]


def detect(
    model: FastRCNN,
    picture: NDArray[np.uint8],
    proposals: NDArray[Any],
    scales: PictureScales,
    keeping: Keeping,
    precision: str = "float32",
) -> Found:
    """Detections in an (H, W, 3) picture with (R, 4) proposals, which see the scale that suits their area."""
    height, width, _ = picture.shape
    factors = np.array(scales.factors(height, width))
    level = nearest_scale(proposals, factors)
    rois = np.column_stack([level, proposals * factors[level, None]]).astype(np.float32)
    device = model.score.weight.device
    model.eval()
    with torch.no_grad(), autocast(device, precision):
        scores, offsets = model([resize(picture, factor) for factor in factors], torch.from_numpy(rois).to(device))
    boxes = decode(proposals[:, None], model.scale.restore(offsets.double().cpu().numpy()))
    return keep(scores.double().softmax(1).cpu().numpy(), clip(boxes, height, width), keeping)


def keep(scores: NDArray[np.float64], boxes: NDArray[np.float64], keeping: Keeping) -> Found:
    """The detections that stay of (R, N + 1) probabilities and (R, N + 1, 4) boxes; class 0 is the background."""
    labels, certain, places = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros((0, 4))]
    for label in range(1, scores.shape[1]):
        high = np.flatnonzero(scores[:, label] > keeping.score)
        score, box = scores[high, label], boxes[high, label]
        # nms measures x2 - x1, and a box ends with its last pixel: one more makes both the same.
        ends = torch.from_numpy(box + np.array([0, 0, 1, 1]))
        stays = nms(ends, torch.from_numpy(score), keeping.overlap).numpy()
        labels.append(np.full(len(stays), label))
        certain.append(score[stays])
        places.append(box[stays])
    score = np.concatenate(certain)
    first = np.argsort(-score, kind="stable")[: keeping.most]
    return Found(np.concatenate(labels)[first], score[first], np.concatenate(places)[first])
