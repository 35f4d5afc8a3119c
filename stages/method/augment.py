"""The data augmentation of section 3.4: random resized crops and horizontal flips.

The crops of a whole epoch are drawn before training starts, so that neither the number of workers nor a resume
changes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALE = (0.08, 1.0)
"""Area of a crop as a share of the picture's."""

RATIO = (3 / 4, 4 / 3)
"""Width of a crop divided by its height."""

TRIES = 10
"""Draws before the centred crop is taken."""


@dataclass(frozen=True)
class Crops:
    """n crops: their top left corner and size in pixels of the picture, and whether each is mirrored; each (n,)."""

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    flip: NDArray[np.bool_]

    @property
    def nbytes(self) -> NDArray[np.int64]:
        """(n,) bytes of the pixels of each."""
        found: NDArray[np.int64] = 3 * self.height * self.width
        return found


def random_crops(
    height: NDArray[Any],
    width: NDArray[Any],
    rng: np.random.Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
    flip: float = 0.5,
) -> Crops:
    """One crop for each of n pictures, distributed as in torchvision's RandomResizedCrop, some of them mirrored.

    The area is uniform in `scale`, the aspect ratio log-uniform in `ratio`. Where `TRIES` draws in a row do not fit
    into the picture, the largest centred crop of an allowed ratio is taken.

    Args:
        height, width: (n,) sizes of the pictures in pixels.
        scale: least and greatest area of a crop as a share of the picture's.
        ratio: least and greatest width of a crop divided by its height.
        flip: share of the crops that are mirrored.
    """
    height, width = height.astype(np.int64), width.astype(np.int64)
    n = len(height)
    h, w = _fallback(height, width, ratio)
    top, left = (height - h) // 2, (width - w) // 2
    waiting = np.arange(n)
    for _ in range(TRIES):
        area = height[waiting] * width[waiting] * rng.uniform(*scale, len(waiting))
        shape = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), len(waiting)))
        new_w = np.rint(np.sqrt(area * shape)).astype(np.int64)
        new_h = np.rint(np.sqrt(area / shape)).astype(np.int64)
        place = rng.random((2, len(waiting)))
        fits = (new_w > 0) & (new_w <= width[waiting]) & (new_h > 0) & (new_h <= height[waiting])
        done = waiting[fits]
        h[done], w[done] = new_h[fits], new_w[fits]
        top[done] = (place[0, fits] * (height[done] - h[done] + 1)).astype(np.int64)
        left[done] = (place[1, fits] * (width[done] - w[done] + 1)).astype(np.int64)
        waiting = waiting[~fits]
        if not len(waiting):
            break
    return Crops(top, left, h, w, rng.random(n) < flip)


def _fallback(
    height: NDArray[np.int64], width: NDArray[np.int64], ratio: tuple[float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Heights and widths of the largest crops of an allowed ratio."""
    shape = width / height
    h = np.where(shape < ratio[0], np.rint(width / ratio[0]), height).astype(np.int64)
    w = np.where(shape > ratio[1], np.rint(height * ratio[1]), width).astype(np.int64)
    return h, w


def middle(sides: NDArray[np.int64], size: int | NDArray[Any]) -> NDArray[np.int64]:
    """Where `size` pixels in the middle of each side begin: as in torchvision's CenterCrop, halves rounded to even."""
    found: NDArray[np.int64] = np.rint((sides - size) / 2).astype(np.int64)
    return found


def cropped(picture: NDArray[np.uint8], crops: Crops, number: int) -> NDArray[np.uint8]:
    """The pixels of an (H, W, 3) picture that crop `number` shows, as a view of them."""
    top, left = crops.top[number], crops.left[number]
    return picture[top : top + crops.height[number], left : left + crops.width[number]]


def cut(picture: NDArray[np.uint8], crops: Crops, number: int, size: int) -> NDArray[np.uint8]:
    """Crop `number` of an (H, W, 3) picture, resized to (size, size, 3) uint8 and mirrored where it is."""
    resized = squared(cropped(picture, crops, number), size)
    return resized[:, ::-1] if crops.flip[number] else resized


def squared(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An (H, W, 3) picture resized to (size, size, 3) uint8 with antialiased bilinear weights (Pillow's).

    Rows are resized first, then columns. Pillow 13 by itself turns the order round for some tall pictures, which
    changes a byte by one level here and there.
    """
    image = Image.fromarray(picture)
    for shape in ((size, picture.shape[0]), (size, size)):
        image = image.resize(shape, Image.Resampling.BILINEAR)
    return np.asarray(image)
