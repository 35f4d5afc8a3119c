"""The regions of interest that Fast R-CNN is trained on (section 4.4; Girshick 2015, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.protocols.boxes import OffsetScale, encode, flip, iou, offset_scale


@dataclass(frozen=True)
class RoISampling:
    """How many regions of a picture are drawn, and which.

    Attributes:
        regions: of each picture; fewer where there are not as many.
        foreground: share of them that may be foreground.
        foreground_iou: least overlap with an object that makes a region foreground.
        background_iou: least overlap of background, and the one it stays below.
    """

    regions: int = 64
    foreground: float = 0.25
    foreground_iou: float = 0.5
    background_iou: tuple[float, float] = (0.1, 0.5)


@dataclass(frozen=True)
class Candidates:
    """The regions of a picture that may be drawn: its objects, then its proposals.

    Attributes:
        boxes: (R, 4) float64 pixels of the whole picture.
        labels: (R,) int64 class, from 1, of the object that each overlaps most; 0 where none is touched.
        overlaps: (R,) float64 intersection over union with it.
        offsets: (R, 4) float64 from each region to that object; 0 where none is touched.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def flip(self, width: int) -> Candidates:
        """The same in a picture of `width` pixels that was mirrored left to right."""
        return Candidates(flip(self.boxes, width), self.labels, self.overlaps, self.offsets * [-1, 1, 1, 1])

    def foreground(self, sampling: RoISampling) -> NDArray[np.int64]:
        """Positions of the regions that are foreground."""
        return np.flatnonzero(self.overlaps >= sampling.foreground_iou)

    def background(self, sampling: RoISampling) -> NDArray[np.int64]:
        """Positions of the regions that are background."""
        least, below = sampling.background_iou
        return np.flatnonzero((self.overlaps >= least) & (self.overlaps < below))

    def usable(self, sampling: RoISampling) -> bool:
        """Whether any region can be drawn; pictures of which none can are not trained on."""
        return bool(len(self.foreground(sampling)) or len(self.background(sampling)))


def candidates(
    proposals: NDArray[Any], truth: NDArray[Any], labels: NDArray[Any], difficult: NDArray[Any]
) -> Candidates:
    """The regions of one picture. Difficult objects are as if they were not there.

    Args:
        proposals: (P, 4) boxes.
        truth: (G, 4) boxes of objects.
        labels: (G,) their classes, from 1.
        difficult: (G,) bool.
    """
    truth, labels = truth[~difficult].astype(np.float64), labels[~difficult].astype(np.int64)
    boxes = np.concatenate([truth.reshape(-1, 4), proposals.reshape(-1, 4)])
    if len(truth) == 0:
        none = np.zeros(len(boxes))
        return Candidates(boxes, none.astype(np.int64), none, np.zeros((len(boxes), 4)))
    common = iou(boxes, truth)
    best, overlaps = common.argmax(1), common.max(1)
    touched = overlaps > 0
    return Candidates(
        boxes,
        np.where(touched, labels[best], 0),
        overlaps,
        np.where(touched[:, None], encode(boxes, truth[best]), 0),
    )


def training_scale(pictures: Iterable[Candidates], classes: int, sampling: RoISampling, *, flips: bool) -> OffsetScale:
    """Mean and standard deviation, class by class, of the offsets of all foreground of a training set.

    Args:
        classes: number of classes without the background.
        flips: whether pictures are also trained on mirrored, so that mirrored offsets count too.
    """
    labels, offsets = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 4))]
    for picture in pictures:
        foreground = picture.foreground(sampling)
        for sign in (1, -1) if flips else (1,):
            labels.append(picture.labels[foreground])
            offsets.append(picture.offsets[foreground] * [sign, 1, 1, 1])
    return offset_scale(np.concatenate(offsets), np.concatenate(labels), classes)


def sample(
    picture: Candidates, sampling: RoISampling, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions and labels of the regions that are drawn, without replacement; background has label 0."""
    foreground, background = picture.foreground(sampling), picture.background(sampling)
    most = min(round(sampling.foreground * sampling.regions), len(foreground))
    foreground = rng.choice(foreground, most, replace=False)
    background = rng.choice(background, min(sampling.regions - most, len(background)), replace=False)
    labels = np.concatenate([picture.labels[foreground], np.zeros(len(background), dtype=np.int64)])
    return np.concatenate([foreground, background]), labels


@dataclass(frozen=True)
class Regions:
    """The regions of a batch of pictures.

    Attributes:
        rois: (R, 5) float32: number of the picture in the batch, then pixels of the resized picture.
        labels: (R,) int64, 0 for background.
        targets: (R, 4) float32 normalised offsets, which count for foreground alone.
    """

    rois: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]


def draw_regions(
    pictures: Sequence[Candidates],
    scales: Sequence[float],
    scale: OffsetScale,
    sampling: RoISampling,
    rng: np.random.Generator,
) -> Regions:
    """The regions of a training step.

    Args:
        pictures: of the batch, those that are shown mirrored mirrored.
        scales: pixels of each resized picture per pixel of the whole one.
    """
    rois, labels, targets = [], [], []
    for number, (picture, factor) in enumerate(zip(pictures, scales, strict=True)):
        drawn, label = sample(picture, sampling, rng)
        rois.append(np.column_stack([np.full(len(drawn), number), picture.boxes[drawn] * factor]))
        labels.append(label)
        targets.append(scale.normalise(picture.offsets[drawn], label))
    return Regions(
        np.concatenate(rois).astype(np.float32), np.concatenate(labels), np.concatenate(targets).astype(np.float32)
    )
