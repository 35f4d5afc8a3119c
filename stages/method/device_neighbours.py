"""Nearest neighbours among rows that lie on a device, by an exhaustive search of torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

BLOCK = 2**25
"""Distances that are in memory at once."""


def nearest_others_on(
    rows: NDArray[np.float32], count: int, device: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`stages.method.neighbours.nearest_others` on a device, computed in float64."""
    points = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device, torch.float64)
    squares = points.square().sum(1)
    size = max(1, BLOCK // len(points))
    index, distance = [], []
    for start in range(0, len(points), size):
        own = slice(start, start + size)
        found = torch.addmm(squares, points[own], points.T, alpha=-2)
        found.diagonal(start).fill_(torch.inf)
        least, near = found.topk(count, largest=False)
        index.append(near)
        distance.append((least + squares[own, None]).clamp_(min=0).float())
    return torch.cat(index).cpu().numpy(), torch.cat(distance).cpu().numpy()
