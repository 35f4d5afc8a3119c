"""Which pictures each update of a detector or a segmentation sees, drawn before training (section 4.4).

So neither the number of workers nor a resume changes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PictureDraws:
    """The pictures of all updates.

    Attributes:
        picture: (updates, n) int64 number of each.
        flip: (updates, n) whether it is mirrored left to right.
        scale: (updates, n) int64 which of the sizes it is resized to.
    """

    picture: NDArray[np.int64]
    flip: NDArray[np.bool_]
    scale: NDArray[np.int64]


def draw_pictures(
    count: int, updates: int, rng: np.random.Generator, *, n: int = 1, flips: bool = False, scales: int = 1
) -> PictureDraws:
    """`n` pictures for each update: one pass over all `count` after the other, each in a random order of its own.

    Args:
        flips: whether a pass shows each picture twice, once mirrored, as Fast R-CNN does.
        scales: number of sizes, of which each picture gets any.
    """
    shown = count * (2 if flips else 1)
    passes = [rng.permutation(shown) for _ in range(-(-updates * n // shown))]
    order = np.concatenate(passes)[: updates * n].reshape(updates, n)
    return PictureDraws(order % count, order >= count, rng.integers(scales, size=(updates, n)))
