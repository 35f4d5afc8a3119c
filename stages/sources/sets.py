"""A set for evaluation looked through: what lies there, and then all of it, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import Refusal
from stages.method.decode import Unreadable, decode
from stages.method.formats import MOST_ASPECT
from stages.parameters.sets import EvaluationSet
from stages.sources.annotations import Objects, parse_annotation
from stages.sources.landmarks import survey_landmarks
from stages.sources.masks import parse_mask
from stages.sources.sbd import survey_sbd
from stages.sources.survey import Part, Survey, Wanted
from stages.sources.voc import survey_voc

OVERSHOT = 10
"""Pixels by which a query's box, drawn by hand, may leave its picture; more, and it is the box of another picture."""

_LAYOUTS = {"voc": survey_voc, "sbd": survey_sbd, "landmarks": survey_landmarks}

Each = Callable[[Callable[[Wanted], "Looked"], list[Wanted]], Iterable["Looked"]]


def survey(root: Path, entry: EvaluationSet) -> Survey:
    """What a set must hold by its lists.

    Args:
        root: the project's.

    Raises:
        Refusal: its folder or lists are not there, or do not fit each other.
    """
    return _LAYOUTS[entry.layout](root / entry.path, {split: root / path for split, path in entry.lists.items()})


def look_over(root: Path, entry: EvaluationSet) -> list[Part]:
    """How many of a set's pictures, annotations and masks are there; nothing is decoded.

    Raises:
        Refusal: as `survey`.
    """
    found = survey(root, entry)
    missing = [(split, path) for split, path in entry.proposals.items() if not (root / path).exists()]
    count = len(entry.proposals)
    proposals = [Part("files of proposals", count - len(missing), count, missing[0][1] if missing else None)]
    return found.parts + (proposals if entry.proposals else [])


@dataclass(frozen=True, slots=True)
class Looked:
    """What one picture of a set is.

    Attributes:
        digest: of all files that belong to it.
    """

    wanted: Wanted
    height: int
    width: int
    objects: Objects | None
    digest: str


def look_through(found: Survey, each: Each = map) -> Iterator[Looked]:
    """Opens every file of a set once, pictures in order of name.

    Args:
        each: `map`, or one that works ahead in threads and keeps the order.

    Raises:
        Refusal: a file is missing, cannot be read, or does not fit the others.
    """
    found.refuse_missing()
    boxes: dict[str, list[tuple[str, tuple[float, float, float, float]]]] = {}
    for query in found.queries:
        boxes.setdefault(query.picture, []).append((query.name, query.box))
    for looked in each(lambda wanted: _look(found, wanted), found.wanted):
        for name, box in boxes.pop(looked.wanted.name, ()):
            over = max(-box[0], -box[1], box[2] - looked.width, box[3] - looked.height)
            if over > OVERSHOT:
                file, pixels = found.root / "lab" / f"{name}_query.txt", f"{looked.width}x{looked.height}"
                raise Refusal(
                    f"{file}: its box {box} is not within {looked.wanted.picture} of {pixels} pixels: "
                    "a picture must have the size that it came in"
                )
        yield looked
    for picture, asked in boxes.items():
        raise Refusal(f"{found.root / 'lab' / f'{asked[0][0]}_query.txt'}: {picture} is a damaged picture, no query")


def _look(found: Survey, wanted: Wanted) -> Looked:
    digest = hashlib.sha256()

    def read(name: str) -> bytes:
        content = _content(found.root / name)
        digest.update(f"{name}\0{len(content)}\0".encode() + hashlib.sha256(content).digest())
        return content

    picture = _decoded(read(wanted.picture), found.root / wanted.picture)
    height, width = picture.shape[:2]
    objects = None
    if wanted.annotation is not None:
        path = found.root / wanted.annotation
        objects = parse_annotation(read(wanted.annotation), path, found.classes, height, width)
    if wanted.mask is not None:
        parse_mask(read(wanted.mask), found.root / wanted.mask, len(found.classes), height, width)
    return Looked(wanted, height, width, objects, digest.hexdigest())


def read_whole(path: Path) -> NDArray[np.uint8]:
    """A picture at its own size, upright: (height, width, 3) uint8.

    Raises:
        Refusal: it cannot be read.
    """
    return _decoded(_content(path), path)


def _decoded(content: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        return decode(content, None, MOST_ASPECT)
    except Unreadable as error:
        raise Refusal(f"{path} cannot be decoded: {error}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from None


def digest_of(found: Survey, looked: Iterable[Looked]) -> str:
    """sha256 of the names, sizes and contents of all that was read, whatever folder it lies in."""
    digest = hashlib.sha256()
    for path in sorted(found.files, key=lambda path: path.name):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(_content(path)).digest())
    for one in looked:
        digest.update(bytes.fromhex(one.digest))
    return digest.hexdigest()


def as_row(looked: Looked) -> dict[str, Any]:
    """What the index holds of a picture."""
    wanted, objects = looked.wanted, looked.objects
    return {
        "name": wanted.name,
        "path": wanted.picture.encode(),
        "height": looked.height,
        "width": looked.width,
        "splits": list(wanted.splits),
        "labels": None if wanted.labels is None else list(wanted.labels),
        "boxes": None if objects is None else objects.boxes.tolist(),
        "classes": None if objects is None else objects.classes.tolist(),
        "difficult": None if objects is None else objects.difficult.tolist(),
        "truncated": None if objects is None else objects.truncated.tolist(),
        "mask": None if wanted.mask is None else wanted.mask.encode(),
    }
