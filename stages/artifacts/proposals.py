"""proposals.parquet: boxes that may hold an object, a row a picture; written once, read by detection."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.artifacts.tables import readable
from stages.artifacts.writing import write_bytes


@dataclass(frozen=True)
class Proposed:
    """The proposals of one picture.

    Attributes:
        source: the name of the file that has them, or what searched the picture.
        boxes: (n, 4) float32: x1 y1 x2 y2 from 0, the last row and column included.
    """

    source: str
    boxes: NDArray[np.float32]


def write_proposals(path: Path, found: Iterable[tuple[str, Proposed]]) -> None:
    """Writes each picture's name, the source of its boxes, and the boxes as a list of 4 n numbers."""
    names, proposed = zip(*found, strict=True)
    boxes = [one.boxes for one in proposed]
    ends = np.cumsum([0, *map(np.size, boxes)], dtype=np.int32)
    values = pa.array(np.concatenate([one.ravel() for one in boxes]), pa.float32())
    table = pa.table(
        {
            "name": pa.array(names, pa.string()),
            "source": pa.array([one.source for one in proposed], pa.string()),
            "boxes": pa.ListArray.from_arrays(pa.array(ends), values),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getbuffer())


def read_proposals_table(path: Path) -> dict[str, Proposed]:
    """The proposals of each picture, by its name.

    Raises:
        Refusal: the file is missing or cannot be read.
    """
    with readable(path):
        table = pq.read_table(path).combine_chunks()
    column = table["boxes"].combine_chunks()
    values, ends = column.flatten().to_numpy(), column.offsets.to_numpy()
    return {
        name: Proposed(source, values[start:end].reshape(-1, 4))
        for name, source, start, end in zip(
            table["name"].to_pylist(), table["source"].to_pylist(), ends, ends[1:], strict=False
        )
    }
