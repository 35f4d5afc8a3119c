"""Features of every image, of its central crop in the paper, by the network of the epoch before (3.2 and 3.4).

reads   pack.json (pixels.zarr), checkpoint.pt of the epoch before
writes  features.zarr   (N, d) float32 or float16, row i = image i; the last hidden layer before its ReLU. Under
                        `recipe: deepcluster-v2` (N, views, dim), unit vectors: of that view, then of random crops
"""

import numpy as np
import torch

from stages.artifacts.checkpoints import for_features
from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.pictures import PackedImages
from stages.method.features import check_features, embed
from stages.method.sampling import batches
from stages.method.views import Views, fixed_crops, random_views
from stages.parameters.extract import ExtractKeys
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.loading import load_views
from stages.runtime.runner import run_stage
from stages.runtime.transfer import Background, Download

REVISION = 4

AHEAD = 2
"""Chunks that are computed and not yet written, at most."""


def extract(job: Job[ExtractKeys]) -> None:
    """Writes the features chunk by chunk; after a kill it goes on behind the last whole chunk.

    Raises:
        Refusal: features are not finite or overflow float16, or this machine lacks the device.
    """
    params, settings = job.params, job.params.extract
    images = job.packed()
    device = device_of(params.device)
    network = for_features(params.model, job.input("network"), device)
    fixed, drawn = _views(job, images)

    rows = min(settings.chunk_rows, len(images))
    shape = (network.dim,) if network.projection is None else (settings.views, network.dim)
    out = ChunkWriter(job.output("features"), (rows, *shape), settings.dtype)

    def spans(chunk: int) -> list[tuple[int, int]]:
        """Start and end image of each batch of a chunk."""
        start = chunk * rows
        return [(start + a, start + b) for a, b in batches(min(rows, len(images) - start), settings.batch)]

    def write(chunk: int, features: Download) -> None:
        out.write(chunk, check_features(features.read().numpy(), settings.dtype))

    todo = [chunk for chunk in range(-(-len(images) // rows)) if not out.has(chunk)]
    every = [span for chunk in todo for span in spans(chunk)]
    loaded = load_views(job, images, [(views, 1) for views in fixed + drawn], every, device)
    batch = iter(job.progress(loaded, sum(b - a for a, b in every), lambda pictures: len(pictures[0])))
    with Background(AHEAD) as writer:
        for chunk in todo:
            start, stop = spans(chunk)[0][0], spans(chunk)[-1][1]
            features = Download((stop - start, *shape), torch.float32, device)
            for a, b in spans(chunk):
                pictures = next(batch)
                each = [pictures[: len(fixed)], *([view] for view in pictures[len(fixed) :])]
                found = torch.stack([embed(network, views, params.precision) for views in each], dim=1)
                features.put(a - start, found.reshape(b - a, *shape))
            writer.do(write, chunk, features)
    out.close(len(images))
    job.images = len(images)


def _views(job: Job[ExtractKeys], images: PackedImages) -> tuple[list[Views], list[Views]]:
    """Of all images, those of the fixed view, whose features are averaged, and the random ones.

    Each epoch has other random ones, and every seed of a run the same: `extract` does not depend on the seed.
    """
    settings, every = job.params.extract, np.arange(len(images))
    side = settings.side(job.params.model)
    crops = fixed_crops(images.height, images.width, side, settings.view)
    drawn = [
        random_views(
            every,
            images.height,
            images.width,
            np.random.default_rng([job.epoch, number]),
            side=side,
            **settings.augment.model_dump(),
        )
        for number in range(1, settings.views)
    ]
    return [Views(every, each, side) for each in crops], drawn


if __name__ == "__main__":
    run_stage(extract)
