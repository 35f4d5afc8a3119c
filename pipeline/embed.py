"""`embed`: new pictures through a run's network, PCA and centroids."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.outputs import CSV, TABLES, beside, is_text, refuse_output
from pipeline.results.embedder import Embedder
from pipeline.results.epoch_files import Epoch, EpochFiles
from stages.artifacts.run_params import load_run_params
from stages.dag.folders import run_folder
from stages.errors import Refusal
from stages.runtime.prefetch import prefetch
from stages.runtime.report import Reporter, printable
from stages.sources.entries import Entry, Listing, is_picture
from stages.sources.listing import list_source
from stages.sources.pictures import read_picture


@dataclass(frozen=True)
class Embedded:
    """How many pictures were embedded, and why the others were not."""

    count: int
    rejected: list[tuple[bytes, str]]


def embed(root: Path, run: str, source: Path, out: Path, report: Reporter, epoch: Epoch | None = None) -> Embedded:
    """Writes a table of path, cluster, distance and embedding, a row a picture, in listing order.

    Pictures go through in the blocks of the training folder's extraction, so that embedding the
    training folder gives the epoch's own assignments again.

    Args:
        source: a folder, a text file of paths, or one picture.
        out: CSV or parquet by its ending; in a CSV each number of the embedding has a column.
        epoch: by default final/, or the last whole epoch of a run that is not finished.

    Raises:
        Refusal: the run has no such epoch, or `source` holds no picture that can be read.
    """
    refuse_output(out, TABLES)
    params = load_run_params(root / run_folder(run))
    files = EpochFiles(root, run, params)
    if epoch is None:
        epoch = files.latest()
        if epoch != "final":
            report.say(f"run {run} is not finished: by epoch {epoch}, its last whole one")
    listing = _listing(source)
    embedder = Embedder(files, epoch, report)

    def read(entry: Entry) -> tuple[Entry, NDArray[np.uint8] | str]:
        _, picture = read_picture(entry, params.pictures.size)
        return entry, picture if isinstance(picture, str) else embedder.crop(picture)

    loaded = prefetch(read, listing.entries, params.workers)
    told = report.progress(loaded, f"embed {source}", len(listing.entries), lambda _: 1)
    rejected = list(listing.rejected)
    count = 0
    text = all(is_text(entry.name) for entry in listing.entries)
    with beside(out) as partial, _writer(partial, out.suffix.lower(), embedder.dim, text) as write:
        for names, crops in _blocks(told, params.extract.chunk_rows, rejected):
            rows = embedder.whitened(crops)
            write(names, *embedder.assigned(rows), rows)
            count += len(names)
        if not count:
            name, reason = rejected[0]
            raise Refusal(
                f"none of the {len(rejected)} pictures of {source} can be read, such as "
                f"{printable(os.fsdecode(name))} ({reason}); {out} is not written"
            )
    return Embedded(count, rejected)


def _listing(source: Path) -> Listing:
    if source.is_file() and is_picture(os.fsencode(source.name)):
        status = source.stat()
        name, base = os.fsencode(source.name), os.fsencode(source.absolute().parent)
        return Listing([Entry(name, base, status.st_size, status.st_mtime_ns, listed=True)])
    return list_source(source)


def _blocks(
    loaded: Iterator[tuple[Entry, NDArray[np.uint8] | str]],
    rows: int,
    rejected: list[tuple[bytes, str]],
) -> Iterator[tuple[list[bytes], list[NDArray[np.uint8]]]]:
    names: list[bytes] = []
    pictures: list[NDArray[np.uint8]] = []
    for entry, picture in loaded:
        if isinstance(picture, str):
            rejected.append((entry.name, picture))
            continue
        names.append(entry.name)
        pictures.append(picture)
        if len(names) == rows:
            yield names, pictures
            names, pictures = [], []
    if names:
        yield names, pictures


Write = Callable[[list[bytes], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]], None]
"""Appends rows: names, clusters, distances and embeddings (n, dim)."""


@contextmanager
def _writer(path: Path, ending: str, dim: int, text: bool) -> Iterator[Write]:
    """Writes a table block by block, since its vectors may not fit into memory."""
    if ending in CSV:
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            numbers = [f"embedding_{i}" for i in range(dim)]
            file.write(",".join(["path", "cluster", "distance", *numbers]) + "\n")

            def append(names: list[bytes], cluster: NDArray, distance: NDArray, rows: NDArray) -> None:
                frame = pd.DataFrame(rows)
                frame.insert(0, "distance_", distance)
                frame.insert(0, "cluster_", cluster)
                frame.insert(0, "path_", pd.Series([os.fsdecode(name) for name in names], dtype=object))
                frame.to_csv(file, header=False, index=False)

            yield append
        return
    kinds = [pa.string() if text else pa.binary(), pa.int32(), pa.float32(), pa.list_(pa.float32(), dim)]
    schema = pa.schema(list(zip(("path", "cluster", "distance", "embedding"), kinds, strict=True)))
    with pq.ParquetWriter(path, schema) as writer:

        def append(names: list[bytes], cluster: NDArray, distance: NDArray, rows: NDArray) -> None:
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), dim)
            columns = [pa.array(names, pa.binary()).cast(kinds[0]), pa.array(cluster), pa.array(distance), vectors]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))

        yield append
