"""Features of every image, of its central crop in the paper, by the network of the epoch before (3.2 and 3.4).

reads   pack.json (pixels.zarr), checkpoint.pt of the epoch before
writes  features.zarr   (N, d) float32 or float16, row i = image i; the last hidden layer before its ReLU
"""

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.checkpoints import for_features
from stages.artifacts.chunks import ChunkWriter
from stages.method.features import check_features, embed
from stages.method.sampling import batches
from stages.method.views import view
from stages.parameters.extract import ExtractKeys
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 2


def extract(job: Job[ExtractKeys]) -> None:
    """Writes the features chunk by chunk; after a kill it goes on behind the last whole chunk.

    Raises:
        Refusal: features are not finite or overflow float16, or this machine lacks the device.
    """
    params = job.params
    images = job.packed()
    network = for_features(params.model, job.input("network"), device_of(params.device))

    rows = min(params.extract.chunk_rows, len(images))
    out = ChunkWriter(job.output("features"), (rows, network.dim), params.extract.dtype)

    def spans(chunk: int) -> list[tuple[int, int]]:
        """Start and end image of each batch of a chunk."""
        start = chunk * rows
        return [(start + a, start + b) for a, b in batches(min(rows, len(images) - start), params.extract.batch)]

    def crops(span: tuple[int, int]) -> NDArray[np.uint8]:
        return np.stack([view(images[i], params.model.input, params.extract.view) for i in range(*span)])

    todo = [chunk for chunk in range(-(-len(images) // rows)) if not out.has(chunk)]
    loaded = prefetch(crops, [span for chunk in todo for span in spans(chunk)], job.workers)
    total = sum(b - a for chunk in todo for a, b in spans(chunk))
    features = (embed(network, pictures, params.precision) for pictures in job.progress(loaded, total, len))
    for chunk in todo:
        out.write(chunk, np.concatenate([check_features(next(features), params.extract.dtype) for _ in spans(chunk)]))
    out.close(len(images))
    job.images = len(images)


if __name__ == "__main__":
    run_stage(extract)
