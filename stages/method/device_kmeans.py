"""k-means of rows that lie on a device, by faiss's k-means over torch, and their exact assignment there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

BLOCK = 2**25
"""Numbers of a block that are in memory at once: rows, or their distances to all centroids."""


class DeviceRows:
    """What `faiss.contrib.clustering.kmeans` asks of its data: rows, and a search by torch on a device.

    Args:
        rows: (N, d) float32, on that device or not.
        spherical: whether centroids are brought to unit length before rows are assigned to them.
    """

    def __init__(self, rows: Tensor, device: torch.device, spherical: bool) -> None:
        self.rows, self.device, self.spherical = rows, device, spherical

    def count(self) -> int:
        """N."""
        return len(self.rows)

    def dim(self) -> int:
        """d."""
        return self.rows.shape[1]

    def get_subset(self, indices: NDArray[np.int64]) -> Tensor:
        """(n, d) rows of those indices, on the device."""
        return self.rows[torch.from_numpy(indices).to(self.rows.device)].to(self.device)

    def assign_to(self, centroids: Tensor, weights: None = None) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """The nearest centroid of each row, (N,); squared distances, (N,); and the sums of each one's rows, (k, d)."""
        if self.spherical:
            centroids = normalize(centroids)
        squares = centroids.square().sum(1)
        sums = torch.zeros_like(centroids)
        nearest, distance = list[Tensor](), list[Tensor]()
        for block in _blocks(self.rows, centroids):
            rows = block.to(self.device)
            least, found = torch.addmm(squares, rows, centroids.T, alpha=-2).min(1)
            distance.append(rows.square().sum(1) + least)
            nearest.append(found)
            with _same_sums():
                sums.index_add_(0, found, rows)
        return torch.cat(nearest).cpu().numpy(), torch.cat(distance).clamp_(min=0), sums


def search(
    rows: NDArray[np.float32], k: int, *, iterations: int, seed: int, device: str, spherical: bool
) -> tuple[NDArray[np.float32], list[float], list[int]]:
    """Centroids of (N, d) rows, (k, d), found on `device`; of each iteration the mean squared distance and the splits.

    Args:
        iterations: that are made.
        seed: of the initial centroids, and of what is split where a cluster is empty (section 3.3).
    """
    from faiss.contrib.clustering import kmeans

    place = torch.device(device)
    data = DeviceRows(_placed(torch.from_numpy(rows), place), place, spherical)
    with redirect_stdout(io.StringIO()):
        # It prints, whatever `verbose` says.
        centroids, stats = kmeans(k, data, iterations, seed=seed, verbose=False, return_stats=True)
    if spherical:
        centroids = normalize(centroids)
    means = [float(step["obj"]) / len(rows) for step in stats]
    return centroids.cpu().numpy(), means, [int(step["nsplit"]) for step in stats]


def assign_on(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], device: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`stages.method.kmeans.assign` on a device, in float64 too."""
    centre = torch.from_numpy(centroids).to(device).mean(0, dtype=torch.float64)
    c = torch.from_numpy(centroids).to(device) - centre
    squares = c.square().sum(1)
    nearest, distance = list[Tensor](), list[Tensor]()
    for block in _blocks(torch.from_numpy(rows), c):
        x = block.to(device) - centre
        nearest.append(torch.addmm(squares, x, c.T, alpha=-2).argmin(1))
        distance.append((x - c[nearest[-1]]).square().sum(1))
    return torch.cat(nearest).cpu().numpy(), torch.cat(distance).cpu().numpy()


def _placed(rows: Tensor, device: torch.device) -> Tensor:
    """The rows on a device, or where they are if they would take more than half of its memory."""
    if device.type == "cuda" and rows.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return rows
    return rows.to(device)


def _blocks(rows: Tensor, centroids: Tensor) -> Iterator[Tensor]:
    """The rows in blocks of at most `BLOCK` numbers."""
    return iter(rows.split(max(1, BLOCK // max(centroids.shape))))


@contextmanager
def _same_sums() -> Iterator[None]:
    """Makes additions on a GPU give the same bits again."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
