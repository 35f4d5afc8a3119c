"""Resizes every picture once and packs the pixels, whole, into chunks that a loader can map.

reads   the data set's folder or list (for the demo: pictures/)
writes  pixels.zarr, manifest.parquet, rejected.parquet, pack.json
        listing.json   digest of the listing, which `run` and `status` compare (not tracked)

A save point is a closed chunk with its part of the manifest. Pictures are decoded by one thread or process
a core; one writer takes them in order of name, skips what cannot be read and fills the chunks.
"""

import hashlib
from contextlib import closing
from pathlib import Path

import pandas as pd

from stages.artifacts.documents import write_json
from stages.artifacts.packing import Assembler
from stages.artifacts.tables import read_parquet, write_frames, write_parquet
from stages.artifacts.writing import remove, write_bytes
from stages.dag.names import LISTING, PIXELS
from stages.errors import Refusal
from stages.parameters.dataset import DatasetKeys, DatasetParams
from stages.runtime.job import Job
from stages.runtime.readers import read_pictures
from stages.runtime.runner import run_stage
from stages.sources.listing import list_dataset, source_path

REVISION = 4


def pack(job: Job[DatasetKeys]) -> None:
    dataset: DatasetParams = job.params.dataset
    source = source_path(job.root, dataset)
    listing = list_dataset(job.root, dataset, job.folder)
    work = job.partial.path
    _drop_save_points_of_another(work, listing.digest())
    classes, labels = listing.classes(dataset.labels)
    if classes:
        labels += f": datasets.{dataset.name}.labels=false turns them off"
    with Assembler(work, dataset, classes) as assembler:
        entries = listing.entries[assembler.resume() :]
        with closing(read_pictures(entries, dataset.size, job.workers)) as pictures:
            for entry, (digest, picture) in job.progress(zip(entries, pictures, strict=True), len(entries)):
                assembler.add(entry, digest, picture)
        rejected = assembler.close(listing)
    if assembler.images == 0:
        raise Refusal(f"{source}: none of {len(listing.entries)} pictures can be read: {rejected['reason'].iloc[0]}")
    write_frames(job.output("manifest"), assembler.manifest())
    write_parquet(job.output("rejected"), rejected)
    write_json(job.output("pack"), _summary(job.output("manifest"), dataset, assembler, rejected))
    listed = {"path": dataset.path, "digest": listing.digest(), "count": len(listing.entries)}
    write_json(job.untracked(LISTING), listed)
    job.images = assembler.images
    copies = int(read_parquet(job.output("manifest"), ["sha256"])["sha256"].duplicated().sum())
    job.say("; ".join(_told(job, rejected, copies, labels) + listing.beside()))


def _drop_save_points_of_another(work: Path, digest: str) -> None:
    mark = work / "listing"
    if mark.exists() and mark.read_text() == digest:
        return
    remove(work / "parts")
    remove(work / PIXELS)
    write_bytes(mark, digest.encode())


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


def _told(job: Job[DatasetKeys], rejected: pd.DataFrame, copies: int, labels: str) -> list[str]:
    words = [f"{job.images:,} picture{'' if job.images == 1 else 's'} packed"]
    if len(rejected):
        words.append(f"{len(rejected):,} rejected (see {job.node.folder}/rejected.parquet)")
    if copies:
        words.append(f"{copies:,} {'is a copy' if copies == 1 else 'are copies'} of others, byte for byte")
    if labels:
        words.append(labels)
    return words


if __name__ == "__main__":
    run_stage(pack)
