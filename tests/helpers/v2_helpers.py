"""A small project by `recipe: deepcluster-v2`, of three clusterings of two views."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from projects import Project

N, K, DIM, HEADS, VIEWS = 70, 5, 8, 3, 2

V2: dict[str, Any] = {
    "recipe": "deepcluster-v2",
    "model": {
        "architecture": "resnet10-cifar",
        "sobel": False,
        "input": 16,
        "width": 0.0625,
        "projection": {"hidden": 16, "dim": DIM},
    },
    "extract": {"batch": 16, "chunk_rows": 32, "views": VIEWS},
    # More than there are pictures or features: nothing reads it.
    "whiten": {"dim": 256},
    "cluster": {"k": K, "heads": HEADS},
    "train": {
        "batch": 16,
        "sampling": "shuffled",
        "views": 2,
        "small": {"views": 1},
        "augment": {"area": 0.2, "jitter": 0.4, "hue": 0.1, "grey": 0.2},
    },
    "datasets": {"demo": {"size": 24, "generate": {"images": N}}},
}
"""70 is a multiple of neither batch nor chunk; small crops have the least side that the network takes."""

NAMES = {
    "stages": ["extract", "cluster", "pseudolabel", "train", "checkpoint"],
    "files": [
        "assignments.parquet",
        "centroids.npy",
        "checkpoint.pt",
        "clustering.json",
        "features.zarr",
        "metrics.json",
        "pseudolabels.parquet",
        "trained",
    ],
}
"""Of an epoch, which has nothing of `whiten`."""


def features_of(project: Project, where: str) -> np.ndarray:
    """(N, views, dim) features below the run's folder, such as those of epochs/0001."""
    found: np.ndarray = zarr.open_array(project.run_path(f"{where}/features.zarr"), mode="r")[:]
    return found
