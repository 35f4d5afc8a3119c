"""The objects of a picture, from VOC's XML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from stages.errors import Refusal

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = {None: False, "": False, "0": False, "1": True, "Unspecified": False}


@dataclass(frozen=True)
class Objects:
    """The objects of one picture, in the order of its file.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels from 0, the last row and column included.
        classes: (n,) int16, places in the set's classes.
        difficult, truncated: (n,) bool.
    """

    boxes: NDArray[np.float32]
    classes: NDArray[np.int16]
    difficult: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


def parse_annotation(content: bytes, path: Path, classes: tuple[str, ...], height: int, width: int) -> Objects:
    """The objects of a picture of (height, width) pixels.

    VOC counts pixels from 1; what is returned counts from 0, as proposals do.

    Raises:
        Refusal: no XML, a class that the set has not, a box that is empty, inverted, or not within the picture.
    """
    root = _parse(content, path)
    stored = tuple(root.findtext(f"size/{side}", "").strip() for side in ("height", "width"))
    if height != width and stored == (str(width), str(height)):
        raise Refusal(
            f"{path}: its boxes are of a picture {width}x{height} high and wide, and the picture's EXIF orientation "
            f"turns it to {height}x{width}: store the picture without"
        )
    boxes, labels, difficult, truncated = [], [], [], []
    for number, found in enumerate(root.findall("object"), start=1):
        name = found.findtext("name", "").strip()
        where = f"{path}: object {number} ({name})"
        if name not in classes:
            known = ", ".join(classes[:3])
            raise Refusal(f"{where}: no such class in this set ({len(classes)}: {known}, …)")
        boxes.append(_box(found, where, height, width))
        labels.append(classes.index(name))
        difficult.append(_flag(found, "difficult", where))
        truncated.append(_flag(found, "truncated", where))
    return Objects(
        np.array(boxes, np.float32).reshape(-1, 4) - 1,
        np.array(labels, np.int16),
        np.array(difficult, bool),
        np.array(truncated, bool),
    )


def _parse(content: bytes, path: Path) -> ElementTree.Element:
    # Entities that name each other grow without end; no annotation has any.
    if b"<!ENTITY" in content:
        raise Refusal(f"{path}: XML with entities is not read")
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise Refusal(f"{path} is no valid XML ({error})") from None


def _box(found: ElementTree.Element, where: str, height: int, width: int) -> list[float]:
    sides = []
    for side in _SIDES:
        text = found.findtext(f"bndbox/{side}", "").strip()
        try:
            sides.append(float(text))
        except ValueError:
            raise Refusal(f"{where}: {side} is {text!r}, no number") from None
    box = dict(zip(_SIDES, sides, strict=True))
    for side, value in box.items():
        if not math.isfinite(value):
            raise Refusal(f"{where}: {side} is {value}, no number of pixels")
        if value < 1:
            raise Refusal(f"{where}: {side} is {value:g}, and VOC counts pixels from 1: add 1 to each side of the set")
    for low, high in (("xmin", "xmax"), ("ymin", "ymax")):
        if box[high] <= box[low]:
            what = "empty" if box[high] == box[low] else "inverted"
            raise Refusal(f"{where}: its box is {what} ({low} {box[low]:g}, {high} {box[high]:g})")
    for side, most in (("xmax", width), ("ymax", height)):
        if box[side] > most:
            raise Refusal(f"{where}: {side} is {box[side]:g}, outside of its picture of {width}x{height} pixels")
    return sides


def _flag(found: ElementTree.Element, key: str, where: str) -> bool:
    text = found.findtext(key)
    text = text.strip() if text is not None else None
    if text not in _FLAGS:
        raise Refusal(f"{where}: {key} is {text!r}, neither 0 nor 1")
    return _FLAGS[text]
