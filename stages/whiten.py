"""PCA-whitens an epoch's features ("PCA-reduced to 256 dimensions, whitened and l2-normalized", 3.4).

reads   features.zarr    (N, d)
writes  pca.npz          the transform, which applies to new images too
        whitened.zarr    (N, dim) float32, rows of unit length
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.transform import save
from stages.errors import Refusal
from stages.method.whitening import PCAWhitening
from stages.parameters.whiten import WhitenKeys
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 5


def whiten(job: Job[WhitenKeys]) -> None:
    dim, scale = job.params.whiten.dim, job.params.whiten.scale
    device = str(device_of(job.params.device))
    features = job.rows("features", "extract")

    def blocks() -> Iterator[NDArray[np.floating]]:
        # The next is read while one is computed with.
        return prefetch(features.block, range(features.count), 1)

    try:
        pca = PCAWhitening.fit(job.progress(blocks(), len(features), len), dim, device, scale=scale)
    except ValueError as error:
        raise Refusal(f"{job.input('features')}: {error}; rerun extract, or start from another seed") from None
    if pca.rank < dim:
        job.say(f"rank {pca.rank} of {dim}: the other dimensions are zero")
    save(job.output("pca"), pca)
    out = ChunkWriter(job.output("whitened"), (features.chunk[0], dim), "float32")
    out.write_all((pca.apply(block, device) for block in blocks()), len(features))
    job.images = len(features)


if __name__ == "__main__":
    run_stage(whiten)
