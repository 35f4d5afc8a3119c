"""Resizes every picture once and packs the pixels, whole, into chunks that a loader can map.

reads   the data set's folder or list (for the demo: pictures/)
writes  pixels.zarr, manifest.parquet, rejected.parquet, pack.json
        listing.json   digest of the listing, which `run` and `status` compare (not tracked)

A save point is a closed chunk with its part of the manifest. Pictures are decoded by one thread a
core; one writer takes them in order of name, skips what cannot be read and fills the chunks.
"""

import hashlib
import json
from pathlib import Path

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
from stages.publish import make_folder, remove, write_bytes, write_json, write_parquet
from stages.runner import run_stage

REVISION = 1


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
    manifest, rejected = assembler.close(listing)
    if len(manifest) == 0:
        raise Refusal(f"{source}: none of {len(listing.entries)} pictures can be read: {rejected['reason'].iloc[0]}")
    write_parquet(job.output("manifest"), manifest)
    write_parquet(job.output("rejected"), rejected)
    write_json(job.output("pack"), _summary(work, dataset, manifest, rejected, assembler.classes))
    listed = {"path": dataset.path, "digest": listing.digest(), "count": len(listing.entries)}
    write_json(job.untracked("listing.json"), listed)
    job.images = len(manifest)
    _tell(job, manifest, rejected, listing)


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

    def __init__(self, work: Path, dataset: DatasetParams, classes: list[bytes]) -> None:
        self.parts = work / "parts"
        make_folder(self.parts)
        self.capacity = dataset.chunk_mib * 2**20
        self.out = ChunkWriter(work / "pixels.zarr", (self.capacity,), "uint8")
        self.classes = classes
        self._label = {name: i for i, name in enumerate(classes)}
        self._buffer = np.zeros(self.capacity, np.uint8)
        self._chunk = self._used = self._seen = 0
        self._rows: list[tuple[object, ...]] = []
        self._rejects: list[tuple[bytes, str]] = []

    def resume(self) -> int:
        """Takes up the closed chunks that lie there; how many entries they cover."""
        while self._part(self._chunk).exists() and self.out.has(self._chunk):
            self._seen = int(json.loads(self._part(self._chunk).read_text())["seen"])
            self._chunk += 1
        return self._seen

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

    def close(self, listing: Listing) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The manifest and the rejects of all chunks; the array is complete."""
        if self._rows:
            self._flush()
        rows: list[list[object]] = []
        rejects = [(name.hex(), reason) for name, reason in listing.rejected]
        for chunk in range(self._chunk):
            part = json.loads(self._part(chunk).read_text())
            rows += part["rows"]
            rejects += part["rejects"]
        rejects += [(name.hex(), reason) for name, reason in self._rejects]
        self.out.close(self._chunk * self.capacity)
        frame = pd.DataFrame(rows, columns=list(self.COLUMNS))
        frame["path"] = [bytes.fromhex(name) for name in frame["path"]]
        frame.insert(0, "image", np.arange(len(frame), dtype=np.int64))
        types = {"label": "int32", "chunk": "int32", "offset": "int64", "height": "int32", "width": "int32"}
        rejected = pd.DataFrame(rejects, columns=["path", "reason"])
        rejected["path"] = [bytes.fromhex(name) for name in rejected["path"]]
        return frame.astype(types), rejected

    def _flush(self) -> None:
        self._buffer[self._used :] = 0
        self.out.write(self._chunk, self._buffer)
        part = {
            "seen": self._seen,
            "rows": [(name.hex(), *rest) for name, *rest in self._rows],  # type: ignore[attr-defined]
            "rejects": [(name.hex(), reason) for name, reason in self._rejects],
        }
        write_bytes(self._part(self._chunk), json.dumps(part).encode())
        self._chunk += 1
        self._used = 0
        self._rows, self._rejects = [], []

    def _part(self, chunk: int) -> Path:
        return self.parts / f"{chunk:06d}.json"


def _summary(
    work: Path,
    dataset: DatasetParams,
    manifest: pd.DataFrame,
    rejected: pd.DataFrame,
    classes: list[bytes],
) -> dict[str, object]:
    digest = hashlib.sha256((work / "manifest.parquet").read_bytes())
    for chunk in sorted((work / "pixels.zarr").glob("c.*"), key=lambda path: int(path.name[2:])):
        with open(chunk, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {
        "images": len(manifest),
        "rejected": len(rejected),
        "size": dataset.size,
        "classes": [name.decode("utf-8", "surrogateescape") for name in classes],
        "labelled": int((manifest["label"] >= 0).sum()),
        "digest": digest.hexdigest(),
    }


def _tell(job: Job, manifest: pd.DataFrame, rejected: pd.DataFrame, listing: Listing) -> None:
    words = [f"{len(manifest):,} pictures packed"]
    if len(rejected):
        words.append(f"{len(rejected):,} rejected (see {job.node.folder}/rejected.parquet)")
    if listing.ignored:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in listing.ignored.most_common(3))
        words.append(f"files that are no pictures ignored: {endings}")
    job.say("; ".join(words))


if __name__ == "__main__":
    run_stage(pack)
