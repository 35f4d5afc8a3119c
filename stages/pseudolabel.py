"""Turns clusters into pseudo-labels to train on, uniform over the clusters (section 3.3).

reads   assignments.parquet
writes  pseudolabels.parquet   image, label (dense, empty clusters skipped)
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
        job.rng.shuffle(clusters)
    write_frames(job.output("pseudolabels"), _frames(clusters, sizes))
    job.images = len(clusters)


def _clusters(job: Job[PseudolabelKeys]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(N,) int32 cluster of each image and (k,) int64 number of images in each cluster, read in blocks of rows."""
    path = job.input("assignments")
    sizes = np.zeros(0, np.int64)
    with readable(path), pq.ParquetFile(path) as file:
        clusters = np.empty(file.metadata.num_rows, np.int32)
        start = 0
        for batch in file.iter_batches(BLOCK, columns=["cluster"], use_threads=False):
            block = clusters[start : start + len(batch)]
            block[:] = batch.column(0)
            count = np.bincount(block, minlength=len(sizes))
            count[: len(sizes)] += sizes
            sizes = count
            start += len(batch)
    return clusters, sizes


def _frames(clusters: NDArray[np.int32], sizes: NDArray[np.int64]) -> Iterator[pd.DataFrame]:
    labels = dense_labels(sizes).astype(np.int32)
    for start in range(0, len(clusters), BLOCK):
        label = labels[clusters[start : start + BLOCK]]
        image = np.arange(start, start + len(label), dtype=np.int64)
        yield pd.DataFrame({"image": image, "label": label})


if __name__ == "__main__":
    run_stage(pseudolabel)
