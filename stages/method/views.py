"""What the network sees of a picture when its features are computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.method.augment import resized_crop
from stages.method.decode import centre_crop


def view(picture: NDArray[np.uint8], size: int, which: str) -> NDArray[np.uint8]:
    """(size, size, 3) of an (H, W, 3) picture.

    Args:
        which: `centre`, the square in the middle (section 3.2), or `whole`, all of it, squashed to a square.
    """
    if which == "centre":
        return centre_crop(picture, size)
    return resized_crop(picture, 0, 0, picture.shape[0], picture.shape[1], size)
