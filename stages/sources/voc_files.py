"""Scenes as the files of a VOCdevkit, with proposals beside them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.parameters.sets import DrawParams
from stages.sources.masks import voc_palette
from stages.sources.proposals import write_proposals_mat
from stages.sources.scenes import NAMES, Scene, as_jpeg, scenes_of

SPLITS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val"), "test": ("test",)}
PROPOSED = ("trainval", "test")
"""Splits with a file of proposals, proposals/<split>.mat."""


def draw_voc(params: DrawParams) -> Iterator[tuple[str, bytes]]:
    """Each file of a drawn VOC folder: its name relative to the folder, and its content."""
    labels: dict[str, dict[str, list[int]]] = {split: {} for split in ("train", "val", "test")}
    proposals: dict[str, NDArray[np.float64]] = {}
    for split, name, scene, boxes in scenes_of(params):
        yield f"JPEGImages/{name}.jpg", as_jpeg(scene.picture)
        yield f"Annotations/{name}.xml", _annotation(name, scene)
        yield f"SegmentationClass/{name}.png", _palette_picture(scene.mask)
        labels[split][name] = _labels(scene)
        proposals[name] = boxes
    for split, parts in SPLITS.items():
        rows = {name: row for part in parts for name, row in labels[part].items()}
        listed = "".join(f"{name}\n" for name in rows).encode()
        yield f"ImageSets/Main/{split}.txt", listed
        yield f"ImageSets/Segmentation/{split}.txt", listed
        for place, label in enumerate(NAMES):
            lines = "".join(f"{name} {row[place]:2d}\n" for name, row in rows.items())
            yield f"ImageSets/Main/{label}_{split}.txt", lines.encode()
        if split in PROPOSED:
            yield f"proposals/{split}.mat", write_proposals_mat(list(rows), [proposals[name] for name in rows])


def _labels(scene: Scene) -> list[int]:
    """Of each class 1, -1, or 0 where each object of the class is difficult."""
    found = [-1] * len(NAMES)
    for thing in scene.things:
        found[thing.label] = max(found[thing.label], 0 if thing.difficult else 1)
    return found


def _annotation(name: str, scene: Scene) -> bytes:
    """VOC's XML, which counts pixels from 1."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = "VOC2007"
    ElementTree.SubElement(root, "filename").text = f"{name}.jpg"
    height, width, depth = scene.picture.shape
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", width), ("height", height), ("depth", depth)):
        ElementTree.SubElement(size, key).text = str(value)
    ElementTree.SubElement(root, "segmented").text = "1"
    for thing in scene.things:
        found = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(found, "name").text = NAMES[thing.label]
        ElementTree.SubElement(found, "pose").text = "Unspecified"
        ElementTree.SubElement(found, "truncated").text = str(int(thing.truncated))
        ElementTree.SubElement(found, "difficult").text = str(int(thing.difficult))
        box = ElementTree.SubElement(found, "bndbox")
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), thing.box, strict=True):
            ElementTree.SubElement(box, side).text = str(value + 1)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root) + b"\n"


def _palette_picture(mask: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([value for colour in voc_palette() for value in colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
