"""What the network sees of a picture: fixed views, or random ones; all drawn before any is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.method.augment import Crops, cut, middle, random_crops

if TYPE_CHECKING:
    # Planning and packing load this module, and must not wait for torch.
    from stages.method.colours import Colours

FIVE_CROP = 0.8
"""Share of each side that a crop of `five-crop` has: about what a training crop shows of a picture on average."""


class Pictures(Protocol):
    """Pictures by number, each (H, W, 3) uint8."""

    def __getitem__(self, image: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Views:
    """A crop of each of n pictures, resized to a square, mirrored and changed in colour.

    Attributes:
        images: (n,) number of the picture of each.
        crops: n crops of them.
        side: in pixels, of each.
        colours: n changes of colour; None where there are none.
    """

    images: NDArray[np.int64]
    crops: Crops
    side: int
    colours: Colours | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, pictures: Pictures, start: int, stop: int) -> NDArray[np.uint8]:
        """Views `start` to `stop` before their colours change: (stop - start, side, side, 3)."""
        return np.stack([cut(pictures[self.images[i]], self.crops, i, self.side) for i in range(start, stop)])


def fixed_crops(height: NDArray[Any], width: NDArray[Any], size: int, which: str) -> list[Crops]:
    """The crops of n pictures whose features are averaged: of each picture one by each element.

    Args:
        height, width: (n,) sizes of the pictures in pixels.
        size: side of the views, in pixels.
        which: `centre`, the square in the middle (section 3.2); `whole`, all of it, squashed to a square; or
            `five-crop`, four corners and the middle, `FIVE_CROP` of each side, each squashed to a square.
    """
    height, width = height.astype(np.int64), width.astype(np.int64)
    none = np.zeros(len(height), np.int64)

    def crops(top: NDArray[np.int64], left: NDArray[np.int64], h: NDArray[np.int64], w: NDArray[np.int64]) -> Crops:
        return Crops(top, left, h, w, none.astype(bool))

    if which == "centre":
        side = np.full(len(height), size, np.int64)
        return [crops(middle(height, size), middle(width, size), side, side)]
    if which == "whole":
        return [crops(none, none, height, width)]
    h, w = (np.maximum(1, np.rint(FIVE_CROP * sides)).astype(np.int64) for sides in (height, width))
    down, right = height - h, width - w
    corners = [(none, none), (none, right), (down, none), (down, right), (down // 2, right // 2)]
    return [crops(top, left, h, w) for top, left in corners]


def fixed_views(picture: NDArray[np.uint8], size: int, which: str) -> NDArray[np.uint8]:
    """(V, size, size, 3) of an (H, W, 3) picture, by the V crops of `fixed_crops`."""
    height, width = (np.array([side]) for side in picture.shape[:2])
    return np.stack([cut(picture, crops, 0, size) for crops in fixed_crops(height, width, size, which)])


def random_views(
    images: NDArray[np.int64],
    height: NDArray[Any],
    width: NDArray[Any],
    rng: np.random.Generator,
    *,
    side: int,
    area: float,
    area_most: float = 1.0,
    flip: float,
    jitter: float,
    hue: float,
    grey: float,
    blur: float,
) -> Views:
    """A random view of each of `images`.

    Args:
        images: (n,) numbers of pictures.
        height, width: (N,) sizes of all pictures in pixels.
        side: of the views, in pixels.
        area, area_most: least and greatest share of a picture that a view shows.
        flip: share of the views that are mirrored.
        jitter, hue, grey, blur: as in `random_colours`.
    """
    crops = random_crops(height[images], width[images], rng, scale=(area, area_most), flip=flip)
    colours = None
    if jitter or hue or grey or blur:
        from stages.method.colours import random_colours

        colours = random_colours(len(images), rng, jitter=jitter, hue=hue, grey=grey, blur=blur)
    return Views(images, crops, side, colours)
