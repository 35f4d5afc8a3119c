"""Turns clusters into pseudo-labels to train on, uniform over the clusters (section 3.3).

reads   assignments.parquet
writes  pseudolabels.parquet   image, label (dense, empty clusters skipped), weight (probability of
                               the image when labels are drawn uniformly)
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.artifacts import readable
from stages.job import Job
from stages.method.sampling import dense_labels, uniform_weights
from stages.publish import write_frames
from stages.runner import run_stage

REVISION = 2

BLOCK = 1 << 16
"""Images whose columns are in memory at once."""


def pseudolabel(job: Job) -> None:
    labels = _clusters(job)
    sizes = np.bincount(labels)
    np.take(dense_labels(sizes).astype(np.int32), labels, out=labels)
    if job.params.pseudolabel.permuted:
        job.rng.shuffle(labels)
    write_frames(job.output("pseudolabels"), _frames(labels, uniform_weights(sizes[sizes > 0])))
    job.images = len(labels)


def _clusters(job: Job) -> NDArray[np.int32]:
    """(N,) cluster of each image: of all that is as long as the data set, only this is held."""
    path = job.input("assignments")
    with readable(path), pq.ParquetFile(path) as file:
        clusters = np.empty(file.metadata.num_rows, np.int32)
        start = 0
        for batch in file.iter_batches(BLOCK, columns=["cluster"]):
            clusters[start : start + len(batch)] = batch.column(0)
            start += len(batch)
    return clusters


def _frames(labels: NDArray[np.int32], weights: NDArray[np.float64]) -> Iterator[pd.DataFrame]:
    for start in range(0, len(labels), BLOCK):
        label = labels[start : start + BLOCK]
        image = np.arange(start, start + len(label), dtype=np.int64)
        yield pd.DataFrame({"image": image, "label": label, "weight": weights[label]})


if __name__ == "__main__":
    run_stage(pseudolabel)
