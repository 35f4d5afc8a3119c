"""k-means on small pictures, without a network: what the groups of the run must be better than.

reads   pack.json (pixels.zarr)
writes  baseline.json   clusters, NMI, AMI and purity to labels, kNN accuracy; each null where nothing has a label
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.documents import write_json
from stages.artifacts.pictures import PackedImages
from stages.method.augment import squared
from stages.method.kmeans import kmeans
from stages.method.measures import TO_LABELS, to_labels
from stages.method.sampling import batches
from stages.method.whitening import PCAWhitening
from stages.parameters.baseline import BaselineKeys
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 2

SIDE = 32
"""Pixels of a side to which every picture is squashed whole."""

DIM = 64
"""Dimensions that PCA keeps of the pixels, neither whitened nor of unit length."""

ITERATIONS = 20
"""Of k-means where the run's own method counts none."""

BLOCK_ROWS = 1024
"""Pictures whose pixels are in memory at once."""


def baseline(job: Job[BaselineKeys]) -> None:
    images = job.packed()
    found: dict[str, Any] = {"clusters": None, **dict.fromkeys(TO_LABELS)}
    pca = _fitted(job, images) if (images.label >= 0).any() else None
    if pca is not None:
        found = _measured(job, images, pca)
    write_json(job.output("baseline"), found)
    job.images = len(images)


def _fitted(job: Job[BaselineKeys], images: PackedImages) -> PCAWhitening | None:
    blocks = job.progress(_pixels(images, job.workers), len(images), len)
    try:
        return PCAWhitening.fit(blocks, DIM, scale=False)
    except ValueError as error:
        # The groups may still differ: a run is not lost for what it is compared with.
        job.say(f"no k-means on pixels, at {SIDE} × {SIDE} {error}")
        return None


def _measured(job: Job[BaselineKeys], images: PackedImages, pca: PCAWhitening) -> dict[str, Any]:
    # The pictures are squashed a second time: all of them are 3 kB each, and may be millions.
    rows = np.concatenate([pca.project(block) for block in _pixels(images, job.workers)])
    params = job.params.cluster
    k = job.params.final.cluster.k or params.k or len(np.unique(images.label[images.label >= 0]))
    iterations = params.iterations or ITERATIONS
    found = kmeans(rows, k, iterations=iterations, seed=int(job.rng.integers(2**31)), rng=job.rng)
    return {"clusters": k, **to_labels(rows, found.assignment, images.label)}


def _pixels(images: PackedImages, workers: int) -> Iterator[NDArray[np.float32]]:
    """The pictures in order, blocks of (n, SIDE * SIDE * 3)."""

    def squashed(span: tuple[int, int]) -> NDArray[np.float32]:
        small = [squared(images[i], SIDE) for i in range(*span)]
        return np.stack(small).reshape(len(small), -1).astype(np.float32)

    return prefetch(squashed, batches(len(images), BLOCK_ROWS), workers)


if __name__ == "__main__":
    run_stage(baseline)
