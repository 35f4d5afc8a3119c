"""Average precision of a class from scores of images, as VOC 2007 classification is measured (Tables 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ABSENT, PRESENT, DIFFICULT = 0, 1, 255
"""Labels of an image for a class. A difficult one counts neither as present nor as absent."""

TIE = 1e-5
"""Taken from the score of an image that shows the class, so that among equal scores it comes last.

scikit-learn counts what is equal at once, by the precision after the last of them.
"""

POINTS = 11
"""Values of recall, from 0 to 1 in equal steps, of the measure that VOC 2007 defined."""


@dataclass(frozen=True)
class AveragePrecisions:
    """Both measures of each class, from 0 to 1; NaN for a class that is nowhere to be found, which no mean counts.

    Attributes:
        area: (classes,) float64, below the precision at each recall: of classification as scikit-learn computes it,
            which the released code and philkr/voc-classification measure; of detection below the best precision at
            that recall or beyond, as from VOC 2010 on.
        eleven_point: (classes,) float64, mean of the greatest precisions at or beyond 11 values of recall, the
            measure of the VOC 2007 challenge.
    """

    area: NDArray[np.float64]
    eleven_point: NDArray[np.float64]

    @property
    def mean_area(self) -> float:
        """mAP by `area`; NaN where there is no class to find."""
        return _mean(self.area)

    @property
    def mean_eleven_point(self) -> float:
        """mAP by `eleven_point`; likewise."""
        return _mean(self.eleven_point)


def average_precisions(scores: NDArray[np.floating], labels: NDArray[np.uint8]) -> AveragePrecisions:
    """Average precisions of all classes.

    Args:
        scores: (N, classes), greater where the class is more likely.
        labels: (N, classes) of `ABSENT`, `PRESENT` and `DIFFICULT`; difficult images are left out of that class.
    """
    from sklearn.metrics import average_precision_score

    area, eleven = np.full((2, scores.shape[1]), np.nan)
    for number, (column, given) in enumerate(zip(scores.T, labels.T, strict=True)):
        counted = given != DIFFICULT
        truth = given[counted] == PRESENT
        if truth.any():
            score = column[counted].astype(np.float64) - TIE * truth
            area[number] = average_precision_score(truth, score)
            eleven[number] = eleven_point(truth[np.argsort(-score, kind="stable")], int(truth.sum()))
    return AveragePrecisions(area, eleven)


def eleven_point(hits: NDArray[np.bool_], positives: int) -> float:
    """Mean over the recalls 0, 0.1, ..., 1 of the greatest precision at that recall or beyond; 0 where it is not met.

    Args:
        hits: (n,) whether each answer is right, the one with the greatest score first.
        positives: number of right answers that there are; those that `hits` lacks are never found.
    """
    found = np.cumsum(hits)
    precision = np.append(found / np.arange(1, len(hits) + 1), 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    # Compared as whole numbers: a recall of 3 in 10 is not below 0.3, as it would be in floats.
    wanted = -(-np.arange(POINTS) * positives // (POINTS - 1))
    return float(best[np.searchsorted(found, wanted)].mean())


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
