"""Resizes every picture once and packs the pixels, whole, into chunks that a loader can map.

reads   the data set's folder or list (for the demo: pictures/)
writes  pixels.zarr, manifest.parquet, rejected.parquet, pack.json
        listing.json   digest of the listing, which `run` and `status` compare (not tracked)

A save point is a closed chunk with its part of the manifest. Pictures are decoded by one thread a
core; one writer takes them in order of name, skips what cannot be read and fills the chunks.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.chunks import ChunkWriter
from stages.errors import Refusal
from stages.job import Job
from stages.listing import Entry, Listing, checked_listing, source_path
from stages.loader import prefetch
from stages.method.decode import Unreadable, decode
from stages.params import MOST_ASPECT, DatasetParams
from stages.publish import make_folder, remove, write_bytes, write_frames, write_json, write_parquet
from stages.runner import run_stage

REVISION = 3

MANIFEST_ROWS = 1 << 11
"""Pictures whose lines of the manifest are in memory at once, at least; another number is another REVISION."""


def pack(job: Job) -> None:
    dataset: DatasetParams = job.params.dataset
    source = source_path(job.root, dataset)
    listing = checked_listing(job.root, dataset, job.folder)
    work = job.partial.path
    _drop_save_points_of_another(work, listing.digest())
    assembler = Assembler(work, dataset, _classes(listing, dataset))
    entries = listing.entries[assembler.resume() :]

    def read(entry: Entry) -> tuple[Entry, str, NDArray[np.uint8] | str]:
        return (entry, *_read(entry, dataset.size))

    for entry, digest, picture in job.progress(prefetch(read, entries, job.workers), len(entries)):
        assembler.add(entry, digest, picture)
    rejected = assembler.close(listing)
    if assembler.images == 0:
        raise Refusal(f"{source}: none of {len(listing.entries)} pictures can be read: {rejected['reason'].iloc[0]}")
    write_frames(job.output("manifest"), assembler.manifest())
    write_parquet(job.output("rejected"), rejected)
    write_json(job.output("pack"), _summary(job.output("manifest"), dataset, assembler, rejected))
    listed = {"path": dataset.path, "digest": listing.digest(), "count": len(listing.entries)}
    write_json(job.untracked("listing.json"), listed)
    job.images = assembler.images
    _tell(job, rejected, listing)


def _read(entry: Entry, size: int) -> tuple[str, NDArray[np.uint8] | str]:
    try:
        with open(entry.path, "rb") as file:
            content = file.read()
    except OSError as error:
        return "", f"cannot be opened: {error.strerror}"
    digest = hashlib.sha256(content).hexdigest()
    try:
        return digest, decode(content, size, MOST_ASPECT)
    except Unreadable as error:
        return digest, str(error)


def _classes(listing: Listing, dataset: DatasetParams) -> list[bytes]:
    if not dataset.labels:
        return []
    return sorted({entry.folder for entry in listing.entries if entry.folder is not None})


def _drop_save_points_of_another(work: Path, digest: str) -> None:
    mark = work / "listing"
    if mark.exists() and mark.read_text() == digest:
        return
    remove(work / "parts")
    remove(work / "pixels.zarr")
    write_bytes(mark, digest.encode())


class Assembler:
    """Fills chunks with pictures in order; a closed chunk is a save point."""

    COLUMNS = ("path", "label", "chunk", "offset", "height", "width", "sha256")
    TYPES: ClassVar = {"label": "int32", "chunk": "int32", "offset": "int64", "height": "int32", "width": "int32"}

    def __init__(self, work: Path, dataset: DatasetParams, classes: list[bytes]) -> None:
        self.parts = work / "parts"
        make_folder(self.parts)
        self.capacity = dataset.chunk_mib * 2**20
        self.out = ChunkWriter(work / "pixels.zarr", (self.capacity,), "uint8")
        self.classes = classes
        self._label = {name: i for i, name in enumerate(classes)}
        self._buffer = np.zeros(self.capacity, np.uint8)
        self._chunk = self._used = self._seen = 0
        self.images = self.labelled = 0
        self.digests: list[str] = []
        self._rows: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[bytes, str]] = []

    def resume(self) -> int:
        """Takes up the closed chunks that lie there; how many entries of the listing they cover."""
        while self._part(self._chunk).exists() and self.out.has(self._chunk):
            self._counted(self._read_part(self._chunk))
        return self._seen

    def _counted(self, part: dict[str, Any]) -> None:
        """Passes on to the chunk after that of `part`."""
        self.digests.append(part["sha256"])
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
        label = self._label.get(entry.folder, -1) if entry.folder is not None else -1
        height, width = picture.shape[:2]
        self._rows.append((entry.name, label, self._chunk, offset, height, width, digest))
        self._seen += 1

    def close(self, listing: Listing) -> pd.DataFrame:
        """The rejects; the array is complete."""
        rejects = [(name.hex(), reason) for name, reason in listing.rejected]
        if self._rows:
            self._flush()
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
        self.out.write(self._chunk, self._buffer)
        part = {
            "seen": self._seen,
            "sha256": hashlib.sha256(self._buffer.data).hexdigest(),
            "rows": [(name.hex(), *rest) for name, *rest in self._rows],
            "rejects": [(name.hex(), reason) for name, reason in self._rejects],
        }
        write_bytes(self._part(self._chunk), json.dumps(part).encode())
        self._counted(part)
        self._used = 0
        self._rows, self._rejects = [], []

    def _part(self, chunk: int) -> Path:
        return self.parts / f"{chunk:06d}.json"

    def _read_part(self, chunk: int) -> dict[str, Any]:
        part: dict[str, Any] = json.loads(self._part(chunk).read_text())
        return part


def _summary(manifest: Path, dataset: DatasetParams, assembler: Assembler, rejected: pd.DataFrame) -> dict[str, object]:
    digest = hashlib.sha256(manifest.read_bytes())
    for chunk in assembler.digests:
        digest.update(bytes.fromhex(chunk))
    return {
        "images": assembler.images,
        "rejected": len(rejected),
        "size": dataset.size,
        "classes": [name.decode("utf-8", "surrogateescape") for name in assembler.classes],
        "labelled": assembler.labelled,
        "digest": digest.hexdigest(),
    }


def _tell(job: Job, rejected: pd.DataFrame, listing: Listing) -> None:
    words = [f"{job.images:,} pictures packed"]
    if len(rejected):
        words.append(f"{len(rejected):,} rejected (see {job.node.folder}/rejected.parquet)")
    if listing.ignored:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in listing.ignored.most_common(3))
        words.append(f"files that are no pictures ignored: {endings}")
    job.say("; ".join(words))


if __name__ == "__main__":
    run_stage(pack)
