"""Features of every image, of its central crop in the paper, by the network of the epoch before (3.2 and 3.4).

reads   pack.json (pixels.zarr), checkpoint.pt of the epoch before
writes  features.zarr   (N, d) float32 or float16, row i = image i; the last hidden layer before its ReLU. Under
                        `recipe: deepcluster-v2` (N, views, dim), unit vectors: of that view, then of random crops
"""

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.checkpoints import for_features
from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.pictures import PackedImages
from stages.method.features import check_features, embed, embed_views
from stages.method.sampling import batches
from stages.method.views import RandomViews, Recolour, fixed_views, random_views
from stages.parameters.extract import ExtractKeys
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 2

Loaded = tuple[NDArray[np.uint8], list[tuple[NDArray[np.uint8], Recolour | None]]]
"""Of B images: (V, B, side, side, 3) fixed views, and (B, side, side, 3) of each random one, with its colours."""


def extract(job: Job[ExtractKeys]) -> None:
    """Writes the features chunk by chunk; after a kill it goes on behind the last whole chunk.

    Raises:
        Refusal: features are not finite or overflow float16, or this machine lacks the device.
    """
    params = job.params
    images = job.packed()
    network = for_features(params.model, job.input("network"), device_of(params.device))

    settings = params.extract
    drawn = _drawn(job, images)
    rows = min(settings.chunk_rows, len(images))
    shape = (network.dim,) if network.projection is None else (settings.views, network.dim)
    out = ChunkWriter(job.output("features"), (rows, *shape), settings.dtype)

    def spans(chunk: int) -> list[tuple[int, int]]:
        """Start and end image of each batch of a chunk."""
        start = chunk * rows
        return [(start + a, start + b) for a, b in batches(min(rows, len(images) - start), settings.batch)]

    def load(span: tuple[int, int]) -> Loaded:
        fixed = [fixed_views(images[i], settings.side(params.model), settings.view) for i in range(*span)]
        return np.stack(fixed, axis=1), [(views.batch(images, *span), views.recolour(*span)) for views in drawn]

    def features(loaded: Loaded) -> NDArray[np.floating]:
        found = [embed_views(network, loaded[0], params.precision)]
        found += [embed(network, pictures, params.precision, recolour) for pictures, recolour in loaded[1]]
        return check_features(np.stack(found, axis=1).reshape(-1, *shape), settings.dtype)

    todo = [chunk for chunk in range(-(-len(images) // rows)) if not out.has(chunk)]
    loaded = prefetch(load, [span for chunk in todo for span in spans(chunk)], job.workers)
    total = sum(b - a for chunk in todo for a, b in spans(chunk))
    batch = map(features, job.progress(loaded, total, lambda loaded: loaded[0].shape[1]))
    for chunk in todo:
        out.write(chunk, np.concatenate([next(batch) for _ in spans(chunk)]))
    out.close(len(images))
    job.images = len(images)


def _drawn(job: Job[ExtractKeys], images: PackedImages) -> list[RandomViews]:
    """The views of all images beside the first, by number of the image.

    Each epoch has others, and every seed of a run the same: `extract` does not depend on the seed.
    """
    params = job.params
    every = np.arange(len(images))
    return [
        random_views(
            every,
            images.height,
            images.width,
            np.random.default_rng([job.epoch, number]),
            side=params.extract.side(params.model),
            **params.extract.augment.model_dump(),
        )
        for number in range(1, params.extract.views)
    ]


if __name__ == "__main__":
    run_stage(extract)
