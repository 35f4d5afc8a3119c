"""The measures of a segmentation (section 4.4; Shelhamer et al. 2017, section 5), of one matrix for a whole set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int, void: int = 255) -> NDArray[np.int64]:
    """(classes, classes) number of pixels of each true class, by rows, and predicted class, by columns.

    Those of all pictures are summed up before anything is measured.

    Args:
        truth: true class of each pixel, of any shape; `void` where none counts.
        predicted: likewise, each below `classes`.

    Raises:
        ValueError: a class that there is not.
    """
    counts = truth != void
    rows, columns = truth[counts].astype(np.int64), predicted[counts].astype(np.int64)
    for values in (rows, columns):
        if len(values) and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"classes from {values.min()} to {values.max()} where there are {classes}")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class SegmentationScores:
    """Measures from 0 to 1.

    Attributes:
        iou: (classes,) intersection over union of each class; NaN where it is neither true nor predicted anywhere.
        mean_iou: mean of those that are not NaN.
        pixel_accuracy: share of right pixels.
        mean_accuracy: mean share of right pixels of each class that is there.
    """

    iou: NDArray[np.float64]
    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float


def segmentation_scores(matrix: NDArray[np.int64]) -> SegmentationScores:
    """The measures of a confusion matrix that holds at least one pixel."""
    right, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    iou = _shares(right, true + predicted - right)
    return SegmentationScores(
        iou, float(np.nanmean(iou)), float(right.sum() / matrix.sum()), float(np.nanmean(_shares(right, true)))
    )


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
