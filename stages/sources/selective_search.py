"""Selective search (Uijlings et al., 2013) by OpenCV, for sets that come without its boxes."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.errors import Refusal


def opencv() -> ModuleType:
    """OpenCV with its contributed modules; ask for it before hours of work.

    Raises:
        Refusal: it is not installed, or without them.
    """
    try:
        cv2 = importlib.import_module("cv2")
        importlib.import_module("cv2.ximgproc")
    except ImportError as error:
        raise Refusal(
            f"proposals: selective search needs OpenCV with its contributed modules ({error}): "
            "`pip install '.[proposals]'` installs them"
        ) from None
    return cv2


def selective_search(picture: NDArray[np.uint8], mode: Literal["fast", "quality"] = "fast") -> NDArray[np.float32]:
    """Boxes that may hold an object: (n, 4) float32, x1 y1 x2 y2 from 0, the last row and column included.

    OpenCV gives equal boxes in another order each time: they are sorted, and each is there once.

    Args:
        picture: (height, width, 3) uint8, RGB.
        mode: fast takes 3 to 5 s for a picture of VOC 2007 on one thread, quality 14 s and gives several times as many.

    Raises:
        Refusal: OpenCV's contributed modules are not installed.
    """
    search = opencv().ximgproc.segmentation.createSelectiveSearchSegmentation()
    # OpenCV's pictures are BGR.
    search.setBaseImage(np.ascontiguousarray(picture[:, :, ::-1]))
    if mode == "fast":
        search.switchToSelectiveSearchFast()
    else:
        search.switchToSelectiveSearchQuality()
    x, y, width, height = np.unique(search.process().reshape(-1, 4), axis=0).T
    return np.stack([x, y, x + width - 1, y + height - 1], axis=1).astype(np.float32)
