"""Turns clusters into pseudo-labels to train on, uniform over the clusters (section 3.3).

reads   assignments.parquet
writes  pseudolabels.parquet   image, label (dense, empty clusters skipped); label_1, … of other heads
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.artifacts.tables import readable, write_frames
from stages.method.sampling import dense_labels
from stages.parameters.pseudolabel import PseudolabelKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 3

BLOCK = 1 << 16
"""Images whose columns are in memory at once."""


def pseudolabel(job: Job[PseudolabelKeys]) -> None:
    """Writes a pseudo-label for each image; shuffled over the images where `pseudolabel.permuted` asks for it.

    Raises:
        Refusal: the assignments cannot be read.
    """
    clusters, sizes = _clusters(job)
    if job.params.pseudolabel.permuted:
        order = job.rng.permutation(len(clusters[0]))
        clusters = [each[order] for each in clusters]
    write_frames(job.output("pseudolabels"), _frames(clusters, sizes))
    job.images = len(clusters[0])


def _clusters(job: Job[PseudolabelKeys]) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int64]]]:
    """Of each clustering, (N,) int32 cluster of each image and (k,) int64 number of images in each cluster.

    They are read in blocks of rows.
    """
    path = job.input("assignments")
    with readable(path), pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name.startswith("cluster")]
        clusters = [np.empty(file.metadata.num_rows, np.int32) for _ in names]
        sizes = [np.zeros(0, np.int64) for _ in names]
        start = 0
        for batch in file.iter_batches(BLOCK, columns=names, use_threads=False):
            for head, column in enumerate(batch.columns):
                block = clusters[head][start : start + len(batch)]
                block[:] = column
                count = np.bincount(block, minlength=len(sizes[head]))
                count[: len(sizes[head])] += sizes[head]
                sizes[head] = count
            start += len(batch)
    return clusters, sizes


def _frames(clusters: list[NDArray[np.int32]], sizes: list[NDArray[np.int64]]) -> Iterator[pd.DataFrame]:
    labels = [dense_labels(each).astype(np.int32) for each in sizes]
    names = ["label", *(f"label_{head}" for head in range(1, len(labels)))]
    for start in range(0, len(clusters[0]), BLOCK):
        parts = [each[start : start + BLOCK] for each in clusters]
        image = np.arange(start, start + len(parts[0]), dtype=np.int64)
        columns = {name: label[part] for name, label, part in zip(names, labels, parts, strict=True)}
        yield pd.DataFrame({"image": image} | columns)


if __name__ == "__main__":
    run_stage(pseudolabel)
