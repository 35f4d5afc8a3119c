"""Writes pixels.zarr and the lines of manifest.parquet; `PackedImages` reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.writing import make_folder, write_bytes
from stages.dag.names import PIXELS
from stages.parameters.dataset import DatasetParams
from stages.sources.entries import Entry, Listing

MANIFEST_ROWS = 1 << 11
"""Pictures whose lines of the manifest are in memory at once, at least; another number is another REVISION."""


class Assembler:
    """Fills chunks with pictures in order; a closed chunk is a save point.

    Threads of its own digest and write a chunk while the next one is filled, so two are in memory. What goes wrong
    there is raised when that one is full. At the end of the context no chunk is half written.
    """

    COLUMNS = ("path", "label", "chunk", "offset", "height", "width", "sha256")
    TYPES: ClassVar = {"label": "int32", "chunk": "int32", "offset": "int64", "height": "int32", "width": "int32"}

    def __init__(self, work: Path, dataset: DatasetParams, classes: list[bytes]) -> None:
        self.parts = work / "parts"
        make_folder(self.parts)
        self.capacity = dataset.chunk_mib * 2**20
        self.out = ChunkWriter(work / PIXELS, (self.capacity,), "uint8")
        self.classes = classes
        self._label = {name: i for i, name in enumerate(classes)}
        self._buffer, self._spare = (np.zeros(self.capacity, np.uint8) for _ in range(2))
        self._threads = ThreadPoolExecutor(2)
        self._writing: Future[None] | None = None
        self._chunk = self._used = self._seen = 0
        self.images = self.labelled = 0
        self.digests: list[str] = []
        self._rows: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[bytes, str]] = []

    def __enter__(self) -> Assembler:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def resume(self) -> int:
        """Takes up the closed chunks that lie there; how many entries of the listing they cover."""
        while self._part(self._chunk).exists() and self.out.has(self._chunk):
            part = self._read_part(self._chunk)
            self.digests.append(part["sha256"])
            self._counted(part)
        return self._seen

    def _counted(self, part: dict[str, Any]) -> None:
        """Passes on to the chunk after that of `part`."""
        self.images += len(part["rows"])
        self.labelled += sum(row[1] >= 0 for row in part["rows"])
        self._seen = part["seen"]
        self._chunk += 1

    def add(self, entry: Entry, digest: str, picture: NDArray[np.uint8] | str) -> None:
        if isinstance(picture, str):
            self._rejects.append((entry.name, picture))
            self._seen += 1
            return
        if self._used + picture.size > self.capacity:
            self._flush()
        offset = self._used
        self._buffer[offset : offset + picture.size] = picture.ravel()
        self._used += picture.size
        label = self._label.get(entry.folder, -1) if entry.folder is not None else entry.label if self.classes else -1
        height, width = picture.shape[:2]
        self._rows.append((entry.name, label, self._chunk, offset, height, width, digest))
        self._seen += 1

    def close(self, listing: Listing) -> pd.DataFrame:
        """The rejects; the array is complete."""
        rejects = [(name.hex(), reason) for name, reason in (*listing.rejected, *listing.unlisted)]
        if self._rows:
            self._flush()
        self._written()
        for chunk in range(self._chunk):
            rejects += self._read_part(chunk)["rejects"]
        rejects += [(name.hex(), reason) for name, reason in self._rejects]
        self.out.close(self._chunk * self.capacity)
        rejected = pd.DataFrame(rejects, columns=["path", "reason"])
        rejected["path"] = [bytes.fromhex(name) for name in rejected["path"]]
        return rejected

    def manifest(self) -> Iterator[pd.DataFrame]:
        """The lines of all pictures, some chunks' at a time."""
        start, rows = 0, []
        for chunk in range(self._chunk):
            rows += self._read_part(chunk)["rows"]
            if len(rows) >= MANIFEST_ROWS or chunk == self._chunk - 1:
                frame = pd.DataFrame(rows, columns=list(self.COLUMNS))
                frame["path"] = [bytes.fromhex(name) for name in frame["path"]]
                frame.insert(0, "image", np.arange(start, start + len(frame), dtype=np.int64))
                yield frame.astype(self.TYPES)
                start, rows = start + len(frame), []

    def _flush(self) -> None:
        self._buffer[self._used :] = 0
        part = {
            "seen": self._seen,
            "rows": [(name.hex(), *rest) for name, *rest in self._rows],
            "rejects": [(name.hex(), reason) for name, reason in self._rejects],
        }
        self._written()
        digest = self._threads.submit(hashlib.sha256, self._buffer.data)
        self._writing = self._threads.submit(self._write, self._chunk, self._buffer, digest, part)
        self._buffer, self._spare = self._spare, self._buffer
        self._counted(part)
        self._used = 0
        self._rows, self._rejects = [], []

    def _written(self) -> None:
        """Waits for the chunk that is being written."""
        if self._writing is not None:
            self._writing.result()

    def _write(self, chunk: int, pixels: NDArray[np.uint8], digest: Future[Any], part: dict[str, Any]) -> None:
        self.out.write(chunk, pixels)
        part["sha256"] = digest.result().hexdigest()
        write_bytes(self._part(chunk), json.dumps(part).encode())
        self.digests.append(part["sha256"])

    def _part(self, chunk: int) -> Path:
        return self.parts / f"{chunk:06d}.json"

    def _read_part(self, chunk: int) -> dict[str, Any]:
        part: dict[str, Any] = json.loads(self._part(chunk).read_text())
        return part
