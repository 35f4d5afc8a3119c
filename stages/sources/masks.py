"""Which class each pixel of a picture belongs to: VOC's palette pictures, and SBD's .mat files."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.errors import Refusal
from stages.method.decode import silence

VOID = 255
"""Borders and what is left open: no prediction there counts."""


def parse_mask(content: bytes, path: Path, classes: int, height: int, width: int) -> NDArray[np.uint8]:
    """A mask of a picture of (height, width) pixels: (height, width) uint8, 0 ground, 1 to `classes`, 255 void.

    Raises:
        Refusal: no mask, a mask of colours, one of another size, or a class that the set has not.
    """
    mask = _of_mat(content, path) if path.suffix == ".mat" else _of_palette(content, path)
    if mask.shape != (height, width):
        found = "x".join(map(str, mask.shape))
        raise Refusal(f"{path}: {found} pixels (height by width), and its picture has {height}x{width}")
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=VOID + 1))
    if wrong := [int(value) for value in values if classes < value < VOID]:
        raise Refusal(f"{path} holds class {wrong[0]}, and the set has {classes}: 0 to {classes} and 255 (void)")
    return mask


@cache
def voc_palette() -> tuple[tuple[int, int, int], ...]:
    """VOC's 256 colours, by class: the bits of the number dealt to red, green and blue in turn, the lowest first."""

    def channel(number: int, first: int) -> int:
        return sum((number >> (3 * bit + first) & 1) << (7 - bit) for bit in range(3))

    return tuple((channel(number, 0), channel(number, 1), channel(number, 2)) for number in range(256))


def _of_palette(content: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        with silence, Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            mode, palette = picture.mode, picture.getpalette() or []
            mask = np.array(picture)
    except Exception as error:
        raise Refusal(f"{path} cannot be read as PNG ({type(error).__name__})") from None
    if mode not in ("P", "L"):
        raise Refusal(f"{path} is a mask of colours (mode {mode}): save the numbers of the classes, with a palette")
    if mode == "P":
        _refuse_reordered(mask, palette, path)
    return mask.astype(np.uint8)


def _refuse_reordered(mask: NDArray[np.uint8], palette: list[int], path: Path) -> None:
    """Some programs keep a mask's colours and sort its palette, after which each number is another class."""
    places = {colour: number for number, colour in enumerate(voc_palette())}
    for value in map(int, np.unique(mask)):
        colour = tuple(palette[3 * value : 3 * value + 3])
        if len(colour) == 3 and places.get(colour, value) != value:
            raise Refusal(
                f"{path}: its palette has the colour of class {places[colour]} at {value}: it was saved anew by a "
                "program that orders palettes; take the original"
            )


def _of_mat(content: bytes, path: Path) -> NDArray[np.uint8]:
    from scipy.io import loadmat

    try:
        mask = loadmat(io.BytesIO(content), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:
        raise Refusal(f"{path} holds no GTcls.Segmentation ({type(error).__name__})") from None
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise Refusal(f"{path}: GTcls.Segmentation is {mask.dtype} of {mask.ndim} dimensions, no mask")
    return np.ascontiguousarray(mask)


def read_mask(path: bytes, classes: int, height: int, width: int) -> NDArray[np.uint8]:
    """`parse_mask` of a file.

    Raises:
        Refusal: it cannot be read, or as `parse_mask`.
    """
    shown = Path(os.fsdecode(path))
    try:
        content = shown.read_bytes()
    except OSError as error:
        raise Refusal(f"{shown} cannot be read: {error.strerror}") from None
    return parse_mask(content, shown, classes, height, width)
