"""What the network sees of a picture: fixed views, or random ones that are drawn up front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.method.augment import Crops, random_crops, resized_crop
from stages.method.decode import centre_crop

FIVE_CROP = 0.8
"""Share of each side that a crop of `five-crop` has: about what a training crop shows of a picture on average."""

Recolour = Callable[[Any], Any]
"""From (B, 3, H, W) uint8 pictures, a tensor on any device, to changed ones, alike."""


class Pictures(Protocol):
    """Pictures by number, each (H, W, 3) uint8."""

    def __getitem__(self, image: int) -> NDArray[np.uint8]: ...


def fixed_views(picture: NDArray[np.uint8], size: int, which: str) -> NDArray[np.uint8]:
    """(V, size, size, 3) of an (H, W, 3) picture; its features are the mean over these V views.

    Args:
        which: `centre`, the square in the middle (section 3.2); `whole`, all of it, squashed to a square; or
            `five-crop`, four corners and the middle, `FIVE_CROP` of each side, each squashed to a square.
    """
    if which == "centre":
        return centre_crop(picture, size)[None]
    height, width = picture.shape[:2]
    if which == "whole":
        return resized_crop(picture, 0, 0, height, width, size)[None]
    h, w = max(1, round(FIVE_CROP * height)), max(1, round(FIVE_CROP * width))
    down, right = height - h, width - w
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return np.stack([resized_crop(picture, top, left, h, w, size) for top, left in corners])


@dataclass(frozen=True)
class RandomViews:
    """Random resized crops, flipped and changed in colour; drawn before any is computed.

    Attributes:
        images: (n,) number of the picture of each.
        crops: n crops of them.
        colours: n changes of colour (`Colours`); None where there are none.
        side: in pixels, of each.
    """

    images: NDArray[np.int64]
    crops: Crops
    colours: Any
    side: int

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, pictures: Pictures, start: int, stop: int) -> NDArray[np.uint8]:
        """Views `start` to `stop` before their colours change: (stop - start, side, side, 3)."""
        return np.stack([self._crop(pictures[self.images[i]], i) for i in range(start, stop)])

    def recolour(self, start: int, stop: int) -> Recolour | None:
        """How the colours of views `start` to `stop` change; None where they do not."""
        if self.colours is None:
            return None
        # Imported here: planning and packing load this module, and must not wait for torch.
        from stages.method.colours import recoloured

        return partial(recoloured, colours=self.colours[start:stop])

    def _crop(self, picture: NDArray[np.uint8], i: int) -> NDArray[np.uint8]:
        crops = self.crops
        cropped = resized_crop(picture, crops.top[i], crops.left[i], crops.height[i], crops.width[i], self.side)
        return cropped[:, ::-1] if crops.flip[i] else cropped


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
) -> RandomViews:
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
    return RandomViews(images, crops, colours, side)
