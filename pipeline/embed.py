"""`embed`: new pictures through a finished run's network, PCA and centroids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from pipeline.recording.inspector import final_is_current, refuse_other
from stages.artifacts.checkpoints import for_features
from stages.artifacts.run_params import load_run_params
from stages.artifacts.transform import read as read_pca
from stages.artifacts.writing import space_told
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.names import CENTROIDS, CHECKPOINT, PCA
from stages.errors import Refusal
from stages.method.decode import Unreadable, centre_crop, decode
from stages.method.features import check_features
from stages.method.features import embed as features_of
from stages.method.kmeans import assign
from stages.method.sampling import batches
from stages.parameters.dataset import MOST_ASPECT
from stages.runtime.devices import device_of
from stages.runtime.prefetch import prefetch
from stages.runtime.report import Reporter, printable
from stages.runtime.threads import float_modes, thread_limit
from stages.sources.listing import Entry, list_source


@dataclass(frozen=True)
class Embedded:
    """How many pictures were embedded, and why the others were not."""

    count: int
    rejected: list[tuple[bytes, str]]


def embed(root: Path, run: str, source: Path, out: Path, report: Reporter) -> Embedded:
    """Writes a parquet of path, cluster, distance and embedding, a row a picture, in listing order.

    Pictures go through in the blocks of the training folder's extraction, so that embedding the
    training folder gives final/ again.

    Raises:
        Refusal: the run is not finished, or `source` holds no picture that can be read.
    """
    params = load_run_params(root / run_folder(run))
    final = root / epoch_folder(run, "final")
    if not (final / CENTROIDS).exists() or not final_is_current(root, params):
        raise Refusal(f"run {run} is not finished: `python -m pipeline run --run {run}`")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise Refusal(f"{out} cannot be written: name a file in a folder that exists with -o")
    listing = list_source(source)
    last = root / epoch_folder(run, params.epochs)
    for path in (last / CHECKPOINT, final / PCA, final / CENTROIDS):
        refuse_other(path, run)
    network = for_features(params.model, last / CHECKPOINT, _device(params.device, report))
    pca, centroids = read_pca(final / PCA), np.load(final / CENTROIDS)

    def read(entry: Entry) -> tuple[Entry, NDArray[np.uint8] | str]:
        try:
            with open(entry.path, "rb") as file:
                picture = decode(file.read(), params.dataset.size, MOST_ASPECT)
        except (Unreadable, OSError) as error:
            return entry, str(error)
        return entry, centre_crop(picture, params.model.input).copy()

    float_modes(params.precision)
    loaded = prefetch(read, listing.entries, params.workers)
    told = report.progress(loaded, f"embed {source}", len(listing.entries), lambda _: 1)
    rejected = list(listing.rejected)
    count = 0
    partial = out.with_name(f".{out.name}.partial")
    schema = pa.schema(
        [
            ("path", pa.binary()),
            ("cluster", pa.int32()),
            ("distance", pa.float32()),
            ("embedding", pa.list_(pa.float32(), pca.dim)),
        ]
    )
    try:
        with thread_limit(params.threads), space_told(out, 0), pq.ParquetWriter(partial, schema) as writer:
            for names, pictures in _blocks(told, params.extract.chunk_rows, rejected):
                spans = batches(len(pictures), params.extract.batch)
                features = np.concatenate(
                    [features_of(network, np.stack(pictures[a:b]), params.precision) for a, b in spans]
                )
                white = pca.apply(check_features(features, params.extract.dtype))
                cluster, distance = assign(white, centroids)
                writer.write_table(_table(names, cluster, distance, white, schema))
                count += len(names)
        if not count:
            name, reason = rejected[0]
            raise Refusal(
                f"none of the {len(rejected)} pictures of {source} can be read, such as "
                f"{printable(os.fsdecode(name))} ({reason}); {out} is not written"
            )
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return Embedded(count, rejected)


def _device(name: str, report: Reporter) -> torch.device:
    """The run's device, or the CPU: where a run was trained says nothing of where it is used."""
    try:
        return device_of(name)
    except Refusal:
        report.say(f"device: {name} is not here: on the CPU, where last digits may differ")
        return torch.device("cpu")


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


def _table(names: list[bytes], cluster: Any, distance: Any, white: Any, schema: pa.Schema) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(white.ravel()), white.shape[1])
    columns = [
        pa.array(names, pa.binary()),
        pa.array(cluster.astype(np.int32)),
        pa.array(distance.astype(np.float32)),
        vectors,
    ]
    return pa.Table.from_arrays(columns, schema=schema)
