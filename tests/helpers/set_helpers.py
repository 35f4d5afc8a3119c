"""Sets for evaluation that tests look through: drawn ones, whole, and small ones put together file by file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from stages.parameters.resolution import resolve_set
from stages.parameters.sets import EvaluationSet
from stages.sources.drawn import draw_set
from stages.sources.sets import Looked, look_through, survey
from stages.sources.voc import VOC_CLASSES

DRAWN = {"train": 10, "val": 10, "test": 10, "landmarks": 2, "views": 6, "distractors": 3}


def entry(layout: str, path: str = "set", **keys: Any) -> EvaluationSet:
    return resolve_set({"evaluation_sets": {"mine": {"layout": layout, "path": path, **keys}}}, "mine")


def drawn(root: Path, layout: str, **draw: Any) -> EvaluationSet:
    """A set drawn into root/set."""
    found = entry(layout, draw=DRAWN | draw)
    write(root / "set", dict(draw_set(found)))
    return found


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def looked(root: Path, of: EvaluationSet) -> list[Looked]:
    return list(look_through(survey(root, of)))


def jpeg(height: int, width: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    rng = np.random.default_rng(height * 1000 + width)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def png(array: np.ndarray, palette: list[int] | None = None) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    if palette is not None:
        picture = picture.convert("P")
        picture.putpalette(palette)
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def thing(name: str = "cat", box: tuple[Any, Any, Any, Any] = (2, 3, 20, 15), **flags: Any) -> str:
    """An object of VOC's XML; box as xmin ymin xmax ymax, from 1."""
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    told = "".join(f"<{key}>{value}</{key}>" for key, value in ({"truncated": 0, "difficult": 0} | flags).items())
    return f"<object><name>{name}</name>{told}<bndbox>{sides}</bndbox></object>"


def annotation(*things: str) -> str:
    return f"<annotation><filename>x.jpg</filename>{''.join(things)}</annotation>"


def small_voc(root: Path, names: tuple[str, ...] = ("000001", "000002"), split: str = "train") -> Path:
    """VOC's twenty classes and a few pictures of 24x32 pixels, each with a cat, in root/set."""
    folder = root / "set"
    files: dict[str, str | bytes] = {}
    for name in names:
        files[f"JPEGImages/{name}.jpg"] = jpeg(24, 32)
        files[f"Annotations/{name}.xml"] = annotation(thing())
        mask = np.zeros((24, 32), np.uint8)
        mask[3:15, 2:20] = VOC_CLASSES.index("cat") + 1
        files[f"SegmentationClass/{name}.png"] = png(mask, VOC_PALETTE)
    listed = "".join(f"{name}\n" for name in names)
    files[f"ImageSets/Main/{split}.txt"] = files[f"ImageSets/Segmentation/{split}.txt"] = listed
    for label in VOC_CLASSES:
        files[f"ImageSets/Main/{label}_{split}.txt"] = "".join(
            f"{name} {1 if label == 'cat' else -1:2d}\n" for name in names
        )
    write(folder, files)
    return folder


def small_sbd(root: Path, names: tuple[str, ...] = ("2008_000001", "2008_000002")) -> Path:
    folder = root / "set"
    write(folder, {f"img/{name}.jpg": jpeg(24, 32) for name in names})
    write(folder, {"train.txt": f"{names[0]}\n", "val.txt": "".join(f"{name}\n" for name in names[1:])})
    for number, name in enumerate(names):
        mask = np.zeros((24, 32), np.uint8)
        mask[5:9, 5:9] = number + 8
        (folder / "cls").mkdir(exist_ok=True)
        savemat(folder / f"cls/{name}.mat", {"GTcls": {"Segmentation": mask, "CategoriesPresent": number + 8}})
    return folder


VOC_PALETTE = [
    *(0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128),
    *(64, 0, 0, 192, 0, 0, 64, 128, 0, 192, 128, 0, 64, 0, 128, 192, 0, 128, 64, 128, 128, 192, 128, 128),
    *(0, 64, 0, 128, 64, 0, 0, 192, 0, 128, 192, 0, 0, 64, 128),
]
"""The colours of ground and classes in the devkit's masks, as its pictures have them."""
