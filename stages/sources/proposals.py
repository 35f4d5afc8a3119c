"""Boxes that may hold an object, as selective search's .mat files have them.

Two forms are in use, and each says by itself how it counts:

- one file a split (`voc_2007_trainval.mat`): cells `images`, names, and `boxes`, of each image (n, 4) in columns
  y1 x1 y2 x2, counted from 1. R-CNN and Fast R-CNN were trained on it;
- a folder with one file an image, `<name>_boxes.mat` or `<name>.mat`: a plain matrix `boxes`, in columns x1 y1 x2 y2,
  counted from 0 (Fast R-CNN's demonstration).

So no key says which; each box must lie within its picture, which a file of the other order does not satisfy.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import Refusal
from stages.sources.survey import files_in

Boxes = NDArray[np.float32]


def read_proposals(path: Path, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Boxes]:
    """The boxes of pictures: by name, (n, 4) float32, x1 y1 x2 y2 from 0, the last row and column included.

    Args:
        path: a .mat file, or a folder with one an image.
        sizes: height and width of each picture that needs some, by name.

    Raises:
        Refusal: a picture has none there, or they are those of other pictures.
    """
    if path.is_dir():
        found = _of_folder(path, list(sizes))
    elif path.is_file():
        found = _of_file(path)
    else:
        raise Refusal(f"{path} is not there: proposals are a .mat file, or a folder with one an image")
    if lacking := [name for name in sizes if name not in found]:
        raise Refusal(
            f"{path} has boxes of {len(sizes) - len(lacking):,} of the split's {len(sizes):,} pictures, first missing: "
            f"{lacking[0]}: are they of another set or split?"
        )
    for name, (height, width) in sizes.items():
        _refuse_outside(path, name, found[name], height, width)
    return {name: found[name] for name in sizes}


def _of_file(path: Path) -> dict[str, Boxes]:
    content = _load(path)
    if content["boxes"].dtype != object or "images" not in content or content["images"].dtype != object:
        raise Refusal(f"{path}: a file of a whole split has two cells, images and boxes; of one image, give its folder")
    names = [str(np.ravel(name)[0]) if np.size(name) else "" for name in content["images"].ravel()]
    boxes = content["boxes"].ravel()
    if len(names) != len(boxes):
        raise Refusal(f"{path}: {len(names):,} names in images, and {len(boxes):,} cells in boxes")
    found = {}
    for name, matrix in zip(names, boxes, strict=True):
        columns = _columns(matrix, f"{path}: {name}")
        if len(columns) and columns.min() < 1:
            raise Refusal(f"{path}: {name}: a box has {columns.min():g}, and this form counts y1 x1 y2 x2 from 1")
        found[name] = columns[:, [1, 0, 3, 2]] - 1
    return found


def _of_folder(folder: Path, names: Sequence[str]) -> dict[str, Boxes]:
    lying, found = files_in(folder), {}
    for name in names:
        file = next((file for file in (f"{name}_boxes.mat", f"{name}.mat") if file in lying), None)
        if file is not None:
            matrix = _load(folder / file)["boxes"]
            if matrix.dtype == object:
                raise Refusal(f"{folder / file} holds cells: give a file of a whole split itself, no folder")
            found[name] = _columns(matrix, str(folder / file))
    return found


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(str(path), variable_names=["images", "boxes"])
    except NotImplementedError:
        raise Refusal(f"{path} is of MATLAB 7.3: save it again with save(…, '-v7')") from None
    except Exception as error:
        raise Refusal(f"{path} cannot be read as a .mat file ({type(error).__name__})") from None
    if "boxes" not in content:
        raise Refusal(f"{path} holds no `boxes`")
    return content


def _columns(matrix: Any, where: str) -> Boxes:
    if np.size(matrix) == 0:
        return np.zeros((0, 4), np.float32)
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.shape[1] != 4 or matrix.dtype.kind not in "iuf":
        shape = "x".join(map(str, np.shape(matrix)))
        raise Refusal(f"{where}: boxes are {shape}, and four columns are wanted")
    # Whole numbers without sign would pass below 0 to the largest there is.
    boxes = matrix.astype(np.float32)
    if not np.isfinite(boxes).all():
        raise Refusal(f"{where}: a box is not finite")
    return boxes


def _refuse_outside(path: Path, name: str, boxes: Boxes, height: int, width: int) -> None:
    if _within(boxes, height, width):
        return
    least, most = boxes.min(axis=0), boxes.max(axis=0)
    exchanged = _within(boxes[:, [1, 0, 3, 2]], height, width)
    swapped = " (they would be, were x and y the other way round)" if exchanged else ""
    raise Refusal(
        f"{path}: boxes of {name} are not within its picture of {width}x{height} pixels{swapped}: x {least[0]:g} to "
        f"{most[2]:g}, y {least[1]:g} to {most[3]:g}; are they of another set?"
    )


def _within(boxes: Boxes, height: int, width: int) -> bool:
    x1, y1, x2, y2 = boxes.T
    ordered = bool((x1 <= x2).all() and (y1 <= y2).all())
    return ordered and bool((x1 >= 0).all() and (y1 >= 0).all() and (x2 < width).all() and (y2 < height).all())


_HEADER = b"MATLAB 5.0 MAT-file"


def write_proposals_mat(names: Sequence[str], boxes: Sequence[NDArray[Any]]) -> bytes:
    """A .mat file of a whole split: equal boxes give equal bytes.

    Args:
        boxes: of each picture (n, 4), x1 y1 x2 y2 from 0, the last row and column included.
    """
    from scipy.io import savemat

    images, cells = np.empty((len(names), 1), object), np.empty((1, len(names)), object)
    for row, (name, found) in enumerate(zip(names, boxes, strict=True)):
        images[row, 0] = name
        cells[0, row] = found[:, [1, 0, 3, 2]].astype(np.float64) + 1
    buffer = io.BytesIO()
    savemat(buffer, {"images": images, "boxes": cells}, do_compression=True)
    # The first 116 bytes are a text, which scipy fills with the time.
    return _HEADER.ljust(116) + buffer.getvalue()[116:]
