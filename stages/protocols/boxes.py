"""Boxes of pixels as Fast R-CNN and the VOC devkit count them (section 4.4), and the offsets that a detector predicts.

A box is x1, y1, x2, y2: its outermost pixels, both within it, counted from 0. So a box is x2 - x1 + 1 pixels wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_GROWTH = np.log(1000 / 16)
"""Largest logarithm of a growth that is decoded: an untrained detector would overflow the exponential."""


def sizes(boxes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Widths and heights in pixels, each (...), of (..., 4) boxes."""
    boxes = boxes.astype(np.float64)
    return boxes[..., 2] - boxes[..., 0] + 1, boxes[..., 3] - boxes[..., 1] + 1


def iou(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """(N, M) intersection over union of (N, 4) boxes with (M, 4) others."""
    areas, other_areas = np.multiply(*sizes(boxes)), np.multiply(*sizes(others))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2]).astype(np.float64)
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.maximum(high - low + 1, 0).prod(2)
    return common / (areas[:, None] + other_areas - common)


def encode(boxes: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """(N, 4) offsets from (N, 4) boxes to (N, 4) others (Fast R-CNN; Girshick et al. 2014, appendix C).

    The centre's moves in units of the box's width and height, then the logarithms of the growth of both.
    """
    width, height = sizes(boxes)
    new_width, new_height = sizes(truth)
    x = (truth[..., 0] + new_width / 2 - boxes[..., 0] - width / 2) / width
    y = (truth[..., 1] + new_height / 2 - boxes[..., 1] - height / 2) / height
    return np.stack([x, y, np.log(new_width / width), np.log(new_height / height)], axis=-1)


def decode(boxes: NDArray[Any], offsets: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 4) boxes that lie at (..., 4) `offsets` from `boxes`, whose shape broadcasts: the inverse of `encode`.

    Fast R-CNN's released code leaves out the last pixel's -1, so that a box with offsets of 0 grows by a pixel; here
    it stays what it is.
    """
    width, height = sizes(boxes)
    offsets = offsets.astype(np.float64)
    centre_x = boxes[..., 0] + width / 2 + offsets[..., 0] * width
    centre_y = boxes[..., 1] + height / 2 + offsets[..., 1] * height
    width = width * np.exp(np.minimum(offsets[..., 2], LARGEST_GROWTH))
    height = height * np.exp(np.minimum(offsets[..., 3], LARGEST_GROWTH))
    left, top = centre_x - width / 2, centre_y - height / 2
    return np.stack([left, top, left + width - 1, top + height - 1], axis=-1)


def clip(boxes: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """(..., 4) boxes cut to a picture of `height` times `width` pixels."""
    return np.clip(boxes.astype(np.float64), 0, [width - 1, height - 1, width - 1, height - 1])


def flip(boxes: NDArray[Any], width: int) -> NDArray[np.float64]:
    """(..., 4) boxes in a picture of `width` pixels that was mirrored left to right."""
    boxes = boxes.astype(np.float64)
    return np.stack([width - 1 - boxes[..., 2], boxes[..., 1], width - 1 - boxes[..., 0], boxes[..., 3]], axis=-1)


def clean(boxes: NDArray[Any], least: int = 2) -> NDArray[np.float64]:
    """(M, 4) of (N, 4) proposals, in their order: each once, without those that have a side under `least` pixels."""
    first = np.sort(np.unique(boxes, axis=0, return_index=True)[1])
    kept = boxes[first].astype(np.float64)
    width, height = sizes(kept)
    return kept[(width >= least) & (height >= least)]


@dataclass(frozen=True)
class OffsetScale:
    """What offsets are centred and divided by, class by class; class 0 is the background.

    Attributes:
        mean, std: (N + 1, 4) float64.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def normalise(self, offsets: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """(R, 4) targets of the network for (R, 4) `offsets` of boxes with (R,) `labels`."""
        return (offsets - self.mean[labels]) / self.std[labels]

    def restore(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """(R, N + 1, 4) offsets for (R, N + 1, 4) `outputs` of the network."""
        return outputs * self.std + self.mean


def offset_scale(offsets: NDArray[Any], labels: NDArray[np.int64], classes: int) -> OffsetScale:
    """Mean and standard deviation of (R, 4) `offsets` over the boxes of each class from 1 to `classes`.

    The background, and a class whose offsets do not vary in a coordinate, are left as they are there: by 0 and 1.
    """
    mean, std = np.zeros((classes + 1, 4)), np.ones((classes + 1, 4))
    for label in np.unique(labels[labels > 0]):
        own = offsets[labels == label].astype(np.float64)
        spread = own.std(0)
        varies = spread > 1e-8
        mean[label, varies], std[label, varies] = own.mean(0)[varies], spread[varies]
    return OffsetScale(mean, std)
