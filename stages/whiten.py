"""PCA-whitens an epoch's features ("PCA-reduced to 256 dimensions, whitened and l2-normalized", 3.4).

reads   features.zarr    (N, d)
writes  pca.npz          the transform, which applies to new images too
        whitened.zarr    (N, dim) float32, rows of unit length
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from stages.chunks import ChunkReader, ChunkWriter
from stages.errors import Refusal
from stages.job import Job
from stages.method.whitening import PCAWhitening
from stages.publish import write_npz
from stages.runner import run_stage

REVISION = 4


def whiten(job: Job) -> None:
    dim = job.params.whiten.dim
    features = job.rows("features", "extract")
    try:
        pca = PCAWhitening.fit(_Told(job, features), dim)
    except ValueError as error:
        raise Refusal(f"{job.input('features')}: {error}; rerun extract, or start from another seed") from None
    if pca.rank < dim:
        job.say(f"rank {pca.rank} of {dim}: the other dimensions are zero")
    save(job.output("pca"), pca)
    out = ChunkWriter(job.output("whitened"), (features.chunk[0], dim), "float32")
    out.write_all((pca.apply(block) for block in features.blocks()), len(features))
    job.images = len(features)


@dataclass(frozen=True)
class _Told:
    """The blocks of an array, each time that they are iterated, with the progress told."""

    job: Job
    rows: ChunkReader

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self.job.progress(self.rows.blocks(), len(self.rows), len)


def save(path: Path, pca: PCAWhitening) -> None:
    write_npz(
        path,
        mean=pca.mean,
        components=pca.components,
        eigenvalues=pca.eigenvalues,
        total_variance=np.float64(pca.total_variance),
        dim=np.int64(pca.dim),
    )


def read(path: Path) -> PCAWhitening:
    """The transform in a pca.npz."""
    try:
        # Opened here: numpy leaves a damaged file open.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return PCAWhitening(
                file["mean"],
                file["components"],
                file["eigenvalues"],
                float(file["total_variance"]),
                int(file["dim"]),
            )
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; `python -m pipeline status` says which stage makes it") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise Refusal(f"{path} cannot be read as a transform ({error}); rerun whiten") from None


if __name__ == "__main__":
    run_stage(whiten)
