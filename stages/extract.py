"""Features of the central crop of every image, by the network of the epoch before (section 3.2).

reads   pack.json (pixels.zarr), the previous checkpoint.pt
writes  features.zarr   (N, d), row i = image i; the last hidden layer without its ReLU
"""

import numpy as np
import torch

from stages.checkpoints import autocast, device_of, for_features
from stages.chunks import ChunkWriter
from stages.errors import Refusal
from stages.job import Job
from stages.loader import prefetch
from stages.method.networks import Backbone
from stages.method.sampling import batches
from stages.runner import run_stage

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


def embed(network: Backbone, pictures: np.ndarray, precision: str) -> np.ndarray:
    """(B, H, W, 3) uint8 to (B, d) float32 features, on the device of the network."""
    device = next(network.parameters()).device
    # A view of NHWC memory as NCHW is what channels_last means: no pixel is moved.
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
    with torch.inference_mode(), autocast(device, precision):
        return network.features(batch).float().cpu().numpy()


def checked(features: np.ndarray, dtype: str) -> np.ndarray:
    """`features` in `dtype`; refused where they are not finite or do not fit."""
    if not np.isfinite(features).all():
        raise Refusal(
            "the network gives features that are not finite: training diverged; lower train.lr, or "
            "`python -m pipeline branch` from an earlier epoch"
        )
    if dtype == "float16" and np.abs(features).max() > np.finfo(np.float16).max:
        raise Refusal("extract.dtype: features overflow float16; --set extract.dtype=float32")
    return features.astype(dtype, copy=False)


if __name__ == "__main__":
    run_stage(extract)
