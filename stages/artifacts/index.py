"""A set for evaluation as one table: written when it is looked through, read by every protocol.

index.parquet     a row a picture, in order of name: name, path (bytes, relative to the set), height, width, splits,
                  labels (of each class 1, -1, 0 difficult), boxes (x1 y1 x2 y2 from 0, last pixel included), classes,
                  difficult, truncated, mask (bytes, relative to the set); null where the layout has none
queries.parquet   a row a query: query, picture, box, good, ok, junk (names); empty where the layout has none
index.json        layout, counts, classes, digest of all files: what every later stage depends on
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.artifacts.documents import load_json, write_json
from stages.artifacts.tables import readable
from stages.artifacts.writing import write_bytes
from stages.dag.names import INDEX, INDEX_SUMMARY, QUERIES
from stages.errors import Refusal
from stages.sources.annotations import Objects
from stages.sources.masks import read_mask
from stages.sources.sets import Looked, as_row, digest_of, read_whole
from stages.sources.survey import Survey

_NUMBERS = pa.list_(pa.int16())
_FLAGS = pa.list_(pa.bool_())
_TYPES = {
    "name": pa.string(),
    "path": pa.binary(),
    "height": pa.int32(),
    "width": pa.int32(),
    "splits": pa.list_(pa.string()),
    "labels": pa.list_(pa.int8()),
    "boxes": pa.list_(pa.list_(pa.float32())),
    "classes": _NUMBERS,
    "difficult": _FLAGS,
    "truncated": _FLAGS,
    "mask": pa.binary(),
}
_QUERY_TYPES = {"query": pa.string(), "picture": pa.string(), "box": pa.list_(pa.float64())} | dict.fromkeys(
    ("good", "ok", "junk"), pa.list_(pa.string())
)


def write_index(folder: Path, found: Survey, looked: Iterable[Looked]) -> None:
    """Writes the three files from what `look_through` gives."""
    every = list(looked)
    _write(folder / INDEX, [as_row(one) for one in every], _TYPES)
    queries = [
        {"query": one.name, "picture": one.picture, "box": one.box, "good": one.good, "ok": one.ok, "junk": one.junk}
        for one in found.queries
    ]
    _write(folder / QUERIES, queries, _QUERY_TYPES)
    write_json(
        folder / INDEX_SUMMARY,
        {
            "layout": found.layout,
            "images": len(every),
            "splits": found.splits,
            "objects": sum(len(one.objects.boxes) for one in every if one.objects is not None),
            "masks": sum(one.wanted.mask is not None for one in every),
            "queries": len(queries),
            "left_out": list(found.left_out),
            "classes": list(found.classes),
            "digest": digest_of(found, every),
        },
    )


def _write(path: Path, rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> None:
    """Writes by arrow itself: lists that are empty would lose their type in pandas."""
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getbuffer())


def _read(path: Path) -> dict[str, list[Any]]:
    with readable(path):
        columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    return columns


@dataclass(frozen=True)
class Search:
    """A query of a retrieval set.

    Attributes:
        image: row of its picture in the index.
        box: (4,) float64, x1 y1 x2 y2 in pixels of the picture.
        positives: rows of the pictures of its good and ok lists, each once.
        junk: rows of those that count as neither.
        listed: how many positives the lists name; more than `positives` where damaged pictures are left out.
    """

    query: str
    image: int
    box: NDArray[np.float64]
    positives: NDArray[np.int64]
    junk: NDArray[np.int64]
    listed: int


class EvaluationIndex:
    """An indexed set, row i being picture i.

    Attributes:
        info: the content of index.json.
        names: of the pictures, in order.
        height, width: (N,) int32, pixels of each picture.
        classes: names of the classes.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        """Reads the index in `folder` of the set whose files are in `root`."""
        self.folder, self.root = folder, root
        self.info = load_json(folder / INDEX_SUMMARY)
        self.classes: list[str] = self.info["classes"]
        self._columns = _read(folder / INDEX)
        self.names: list[str] = self._columns["name"]
        self.height = np.array(self._columns["height"], np.int32)
        self.width = np.array(self._columns["width"], np.int32)

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, split: str, kind: str = "") -> NDArray[np.int64]:
        """The pictures of a split, in order of name: int64 array.

        Args:
            kind: Main or Segmentation, whose lists VOC has under the same names; a further list has no kind.

        Raises:
            Refusal: the set has no such split.
        """
        wanted = {f"{kind}/{split}" if kind else split, split}
        found = [row for row, splits in enumerate(self._columns["splits"]) if not wanted.isdisjoint(splits)]
        if not found:
            known = ", ".join(self.info["splits"]) or "none"
            raise Refusal(f"{self.root} has no split {split}{f' in {kind}' if kind else ''} (there are: {known})")
        return np.array(found, np.int64)

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """(n, classes) int8 of pictures: 1, -1, or 0 where each object of the class is difficult.

        Raises:
            Refusal: a picture has none.
        """
        return np.array([self._of("labels", row) for row in rows], np.int8)

    def objects(self, row: int) -> Objects:
        """The boxes of a picture.

        Raises:
            Refusal: it has no annotation.
        """
        boxes = np.array(self._of("boxes", row), np.float32).reshape(-1, 4)
        difficult, truncated = (np.array(self._of(flag, row), bool) for flag in ("difficult", "truncated"))
        return Objects(boxes, np.array(self._of("classes", row), np.int16), difficult, truncated)

    def refuse_lacking(self, rows: NDArray[np.int64], column: str) -> None:
        """Stops where a picture lacks what a protocol is about to open: `labels`, `boxes` or `mask`."""
        for row in rows:
            self._of(column, row)

    def _of(self, column: str, row: int) -> Any:
        value = self._columns[column][row]
        if value is None:
            raise Refusal(f"{self.root}: {self.names[row]} has no {column} in this set")
        return value

    def picture(self, row: int) -> NDArray[np.uint8]:
        """Picture `row` at its own size: (height, width, 3) uint8."""
        return read_whole(self.root / os.fsdecode(self._columns["path"][row]))

    def mask(self, row: int) -> NDArray[np.uint8]:
        """The mask of a picture: (height, width) uint8, 0 ground, 1 to the number of classes, 255 void.

        Raises:
            Refusal: it has none.
        """
        full = os.path.join(os.fsencode(self.root), self._of("mask", row))
        return read_mask(full, len(self.classes), int(self.height[row]), int(self.width[row]))

    @cached_property
    def queries(self) -> list[Search]:
        """The queries of a retrieval set, in order of name."""
        place = {name: row for row, name in enumerate(self.names)}

        def rows(names: Iterable[str]) -> NDArray[np.int64]:
            return np.array(sorted({place[name] for name in names if name in place}), np.int64)

        found = []
        for values in zip(*_read(self.folder / QUERIES).values(), strict=True):
            query, picture, box, good, ok, junk = values
            positives = {*good, *ok}
            searched = np.array(box, np.float64)
            found.append(Search(query, place[picture], searched, rows(positives), rows(junk), len(positives)))
        return found
