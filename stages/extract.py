"""Features of the central crop of every image, by the network of the epoch before (section 3.2).

reads   pack.json (pixels.zarr), the previous checkpoint.pt
writes  features.zarr   (N, d), row i = image i; the last hidden layer without its ReLU
"""

import numpy as np

from stages.artifacts.checkpoints import for_features
from stages.artifacts.chunks import ChunkWriter
from stages.method.features import checked, embed
from stages.method.sampling import batches
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 2


def extract(job: Job) -> None:
    params = job.params
    images = job.packed()
    network = for_features(params.model, job.input("network"), device_of(params.device))

    rows = min(params.extract.chunk_rows, len(images))
    out = ChunkWriter(job.output("features"), (rows, network.dim), params.extract.dtype)
    starts = range(0, len(images), rows)
    todo = [start for start in starts if not out.has(start // rows)]
    spans = [
        (start + first, start + last)
        for start in todo
        for first, last in batches(min(rows, len(images) - start), params.extract.batch)
    ]

    def crops(span: tuple[int, int]) -> np.ndarray:
        return np.stack([images.centre_crop(i, params.model.input) for i in range(*span)])

    buffer = np.empty((rows, network.dim), params.extract.dtype)
    loaded = prefetch(crops, spans, job.workers)
    for (first, last), batch in zip(spans, job.progress(loaded, sum(b - a for a, b in spans), len), strict=True):
        start = first // rows * rows
        features = embed(network, batch, params.precision)
        buffer[first - start : last - start] = checked(features, params.extract.dtype)
        if last == min(start + rows, len(images)):
            out.write(start // rows, buffer[: last - start])
    out.close(len(images))
    job.images = len(images)


if __name__ == "__main__":
    run_stage(extract)
