"""Average precision of a detector as VOC 2007 defines it (section 4.4; Everingham et al. 2010, section 4.2).

Detections are gone through class by class, the most certain first. One is true if it overlaps by more than half with
an object of its class that no earlier one has found, and false otherwise: a second find of an object is false too.
What finds a difficult object is left out, and difficult objects need not be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.protocols.average_precision import AveragePrecisions, eleven_point
from stages.protocols.boxes import iou


@dataclass(frozen=True)
class Objects:
    """The annotated objects of all pictures, in any order.

    Attributes:
        image: (G,) number of the picture.
        label: (G,) class from 1.
        box: (G, 4) pixels as in `stages.protocols.boxes`.
        difficult: (G,) bool.
    """

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    box: NDArray[np.float64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """What a detector found in all pictures. Of equal scores the earlier counts as the more certain.

    Attributes:
        image: (D,) number of the picture.
        label: (D,) class from 1.
        score: (D,) float.
        box: (D, 4) pixels as in `stages.protocols.boxes`.
    """

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    box: NDArray[np.float64]


def average_precisions(
    detections: Detections, objects: Objects, classes: int, *, overlap: float = 0.5
) -> AveragePrecisions:
    """Average precision of each class from 1 to `classes`.

    Args:
        overlap: intersection over union that a true detection exceeds.
    """
    found, covers = _nearest(detections, objects)
    eleven, area = np.full(classes, np.nan), np.full(classes, np.nan)
    for label in range(1, classes + 1):
        positives = int((~objects.difficult[objects.label == label]).sum())
        if positives == 0:
            continue
        own = np.flatnonzero(detections.label == label)
        order = own[np.argsort(-detections.score[own], kind="stable")]
        true = _true(found[order], covers[order] > overlap, objects.difficult)
        eleven[label - 1] = eleven_point(true, positives)
        area[label - 1] = area_below(true, positives)
    return AveragePrecisions(area=area, eleven_point=eleven)


def area_below(true: NDArray[np.bool_], positives: int) -> float:
    """Area below the best precision at each recall or more; arguments as of `eleven_point`."""
    precision = np.cumsum(true) / np.arange(1, len(true) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[true].sum() / positives)


def _nearest(detections: Detections, objects: Objects) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(D,) object of the same picture and class that each detection overlaps most, and by how much; -1 and 0: none."""
    found, covers = np.full(len(detections.image), -1), np.zeros(len(detections.image))
    rows, columns = _by_image(detections.image), _by_image(objects.image)
    for image in rows.keys() & columns.keys():
        row, column = rows[image], columns[image]
        common = iou(detections.box[row], objects.box[column])
        common[detections.label[row][:, None] != objects.label[column]] = -1
        best = common.argmax(1)
        covers[row] = common[np.arange(len(row)), best]
        found[row] = column[best]
    return np.where(covers > 0, found, -1), np.maximum(covers, 0)


def _by_image(image: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Positions of each picture, in their order."""
    order = np.argsort(image, kind="stable")
    images, starts = np.unique(image[order], return_index=True)
    return dict(zip(images.tolist(), np.split(order, starts[1:]), strict=False))


def _true(found: NDArray[np.int64], enough: NDArray[np.bool_], difficult: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each detection that counts is true, for detections of a class in order of their certainty."""
    counts = np.ones(len(found), dtype=bool)
    counts[enough] = ~difficult[found[enough]]
    true = np.zeros(len(found), dtype=bool)
    finds = np.flatnonzero(enough & counts)
    true[finds[np.unique(found[finds], return_index=True)[1]]] = True
    return true[counts]
