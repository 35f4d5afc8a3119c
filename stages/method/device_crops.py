"""`stages.method.augment.cut` of many pictures at once, by torch on any device: the same bytes.

The pictures lie one after the other in one row of bytes, since their shapes differ. As Pillow does it, weights are
whole numbers of `BITS` bits and both passes round to bytes, so nothing depends on the order of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.method.augment import Crops

BITS = 22
"""Bits of a weight behind the point, as in Pillow: 32, less those of a byte and two that sums may need."""

Range = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Rectangles of pixels in a row of bytes; each field (n,) int64 on a device.

    Attributes:
        start: byte at which the upper left pixel begins.
        stride: bytes from one row of pixels to the next.
        height, width: in pixels.
        flip: 1 where the result is mirrored, else 0.
    """

    start: Tensor
    stride: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor

    @classmethod
    def of(cls, start: NDArray[np.int64], stride: NDArray[np.int64], crops: Crops, device: torch.device) -> Windows:
        """The windows of n crops whose bytes lie at `start` and whose rows lie `stride` bytes apart, each (n,)."""
        columns = np.stack([start, stride, crops.height, crops.width, crops.flip.astype(np.int64)])
        return cls(*torch.from_numpy(columns).to(device))

    def __getitem__(self, which: slice) -> Windows:
        return Windows(self.start[which], self.stride[which], self.height[which], self.width[which], self.flip[which])


def resized_windows(pixels: Tensor, windows: Windows, heights: Range, widths: Range, size: int) -> Tensor:
    """Each window resized to a square: (B, size, size, 3) uint8.

    Args:
        pixels: (bytes,) uint8, at least three times the largest width more of them than the windows reach.
        heights, widths: least and largest of the windows', known to the caller without asking the device.
    """
    rows = torch.arange(heights[1], device=pixels.device).minimum(windows.height[:, None] - 1)
    first = windows.start[:, None] + windows.stride[:, None] * rows
    # Of overlapping views, one a byte, only the rows that are asked for are read.
    found = pixels.unfold(0, 3 * widths[1], 1)[first].unflatten(2, (widths[1], 3))
    found = _resized(found, 2, windows.width, widths, size)
    found = _resized(found, 1, windows.height, heights, size)
    return torch.where(windows.flip.bool().view(-1, 1, 1, 1), found.flip(2), found)


def _resized(rows: Tensor, dim: int, sides: Tensor, bounds: Range, size: int) -> Tensor:
    """(B, H, W, 3) bytes resized along one dimension, picture b filling the first `sides[b]`, within `bounds`."""
    if bounds == (size, size):
        return rows
    start, weights = _weights(sides, bounds[1], size)
    shape = list(rows.shape)
    shape[dim] = size
    along = [len(sides), 1, 1, 1]
    along[dim] = size
    # Half a unit, so that what is cut off in the end rounds.
    total = torch.full(shape, 1 << (BITS - 1), dtype=torch.int32, device=rows.device)
    for tap in range(weights.shape[2]):
        place = (start + tap).minimum(sides[:, None] - 1).view(along).expand(shape)
        total.addcmul_(rows.gather(dim, place).int(), weights[:, :, tap].view(along))
    return (total >> BITS).clamp_(0, 255).to(torch.uint8)


def _weights(sides: Tensor, most: int, size: int) -> tuple[Tensor, Tensor]:
    """Antialiased bilinear weights from each of (B,) `sides` to `size`, as Pillow computes them, in float64.

    Returns:
        The first pixel that each one is made of, (B, size), and the weights of it and those behind, (B, size, taps)
        int32.
    """
    scale = (sides.double() / size)[:, None]
    support = scale.clamp(min=1)
    centre = (torch.arange(size, device=sides.device) + 0.5) * scale
    start = (centre - support + 0.5).long().clamp_(min=0)
    stop = (centre + support + 0.5).long().minimum(sides[:, None])
    # As many as the largest needs; others have weights of 0 there.
    taps = torch.arange(int(2 * max(1.0, most / size)) + 1, device=sides.device)
    pixel = start[..., None] + taps
    tent = 1 - ((pixel - centre[..., None] + 0.5) / support[..., None]).abs()
    tent = tent.clamp_(min=0).masked_fill_(pixel >= stop[..., None], 0)
    shares = tent / tent.sum(2, keepdim=True)
    return start, (shares * (1 << BITS) + 0.5).int()
