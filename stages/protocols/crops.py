"""Which part of a picture an evaluation sees: random crops that are drawn beforehand, and ten fixed ones.

All take pictures as they are kept. A probe's are packed, their short side at the data set's size already, so that the
resizing that starts the released code's transforms is done; VOC's are as large as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.method.augment import Crops, middle, random_crops
from stages.method.decode import centre_crop

Draw = Callable[[NDArray[Any], NDArray[Any], np.random.Generator], Crops]
"""One crop of each of n pictures, from their heights and widths in pixels, each (n,)."""

port_crops: Draw = partial(random_crops, scale=(0.1, 0.5), ratio=(1, 1))
"""Squares of a tenth to a half of the picture's area: the released PyTorch code's, for VOC 2007 classification."""

CAFFE_SCALE = (0.5, 2.0)
"""Least and greatest side of a crop in philkr/voc-classification, divided by the network's input."""


def square_crops(
    height: NDArray[Any], width: NDArray[Any], rng: np.random.Generator, size: int, *, central: bool
) -> Crops:
    """Squares with a side of `size` pixels at a uniformly random place, flipped half the time.

    Args:
        height, width: (n,) sizes of the pictures in pixels, at least `size`.
        central: True: within the largest square in the middle, as the released code trains linear probes; False:
            anywhere, as RotNet's code trains its classifiers.
    """
    short = np.minimum(height, width).astype(np.int64)
    place = rng.random((2, len(short)))
    top, left = (
        _start(sides.astype(np.int64), short if central else sides, size, share)
        for sides, share in zip((height, width), place, strict=True)
    )
    side = np.full(len(short), size, np.int64)
    return Crops(top, left, side, side, rng.random(len(short)) < 0.5)


def _start(sides: NDArray[np.int64], room: NDArray[Any], size: int, share: NDArray[np.float64]) -> NDArray[np.int64]:
    """First pixel of `size` pixels at `share` of their way through the `room` in the middle of each side."""
    return middle(sides, room) + (share * (room - size + 1)).astype(np.int64)


def caffe_crops(height: NDArray[Any], width: NDArray[Any], rng: np.random.Generator, size: int) -> Crops:
    """Squares as philkr/voc-classification draws them, flipped half the time.

    The side is uniform between half and twice the network's input, or the picture's short side where that is less, and
    the place is uniform. There a side need not be a whole number, and nothing is smoothed where a crop shrinks.

    Args:
        height, width: (n,) sizes of the pictures in pixels.
        size: side in pixels of the network's input.
    """
    short = np.minimum(height, width)
    most = np.minimum(CAFFE_SCALE[1] * size, short)
    least = np.minimum(CAFFE_SCALE[0] * size, most)
    side = np.clip(np.rint(rng.uniform(least, most)), 1, short).astype(np.int64)
    top, left = ((rng.random(len(side)) * (sides - side + 1)).astype(np.int64) for sides in (height, width))
    return Crops(top, left, side, side, rng.random(len(side)) < 0.5)


def crops_of_images(
    draw: Draw, height: NDArray[Any], width: NDArray[Any], images: NDArray[np.integer], crops: int, seed: int
) -> Crops:
    """`crops` crops of each of n images, those of an image one after the other.

    They follow from the seed and from the image's number and size alone, whichever others are tested.

    Args:
        height, width: (n,) sizes of the pictures in pixels.
        images: (n,) numbers of the images.
    """
    drawn = []
    for image, h, w in zip(images, height, width, strict=True):
        rng = np.random.default_rng([seed, int(image)])
        drawn.append(draw(np.full(crops, h), np.full(crops, w), rng))
    return Crops(*(np.concatenate([getattr(each, field.name) for each in drawn]) for field in fields(Crops)))


def ten_crops(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(10, size, size, 3) uint8 crops of an (H, W, 3) picture: four corners and the centre, then those of its mirror.

    The released code takes them from the whole picture, so that the corners of a wide one lie far apart.

    Raises:
        ValueError: the picture is smaller than `size`.
    """
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"a picture of {height} by {width} pixels has no crop of {size}")
    return np.concatenate([_five_crops(picture, size), _five_crops(picture[:, ::-1], size)])


def _five_crops(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    corners = [picture[top:, left:][:size, :size] for top in (0, height - size) for left in (0, width - size)]
    return np.stack([*corners, centre_crop(picture, size)])
