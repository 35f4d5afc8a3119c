"""The sizes at which Fast R-CNN sees whole pictures (section 4.4; Girshick 2015, section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.protocols.boxes import sizes

CANONICAL_AREA = 224**2
"""Area in pixels that a region has about on the scale that is chosen for it."""


@dataclass(frozen=True)
class PictureScales:
    """Sizes in pixels.

    Attributes:
        short: sides to which the short side of a picture is resized; training draws one of them.
        longest: what the other side may have at most; the picture is made smaller where it would have more.
    """

    short: tuple[int, ...] = (600,)
    longest: int = 1000

    def factor(self, height: int, width: int, short: int) -> float:
        """Factor by which a picture of `height` times `width` pixels is resized for one of the sides `short`."""
        least, most = min(height, width), max(height, width)
        factor = short / least
        return factor if round(factor * most) <= self.longest else self.longest / most

    def factors(self, height: int, width: int) -> list[float]:
        """The factor for each of the sides `short`."""
        return [self.factor(height, width, short) for short in self.short]


def resize(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """An (H, W, 3) uint8 picture with both sides times `factor`, at least a pixel, by bilinear weights."""
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def nearest_scale(boxes: NDArray[Any], factors: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """(R,) which of the `factors` brings the area of each of (R, 4) boxes nearest to `CANONICAL_AREA`."""
    width, height = sizes(boxes)
    scaled = (width * height)[:, None] * np.square(factors)
    return np.abs(scaled - CANONICAL_AREA).argmin(1)
