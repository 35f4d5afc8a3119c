"""Where the cells of a map lie in the picture, and the picture's pixels between them (section 4.4, segmentation)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stages.errors import Refusal


class Window(NamedTuple):
    """What a layer looks at along one side, in cells of its input."""

    kernel: int
    stride: int
    padding: int


def windows(layers: Iterable[nn.Module]) -> list[Window]:
    """The window of each convolution and pooling."""
    found = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            assert not isinstance(layer.padding, str)
            found.append(Window(side_of(layer.kernel_size), side_of(layer.stride), side_of(layer.padding)))
    return found


def side_of(size: int | tuple[int, ...]) -> int:
    """The side of a square, which torch's layers hold as one number or two."""
    return size if isinstance(size, int) else size[0]


class Grid(NamedTuple):
    """The centres of a map's cells along one side: cell i is centred on pixel `first` + i * `step`."""

    first: float
    step: int

    def cells(self, side: int) -> int:
        """Number of cells of which the last is as near to the end of `side` pixels as the first to their start."""
        return max(1, -int(-(side - 1 - 2 * self.first) // self.step) + 1)

    def weights(self, side: int, cells: int) -> Tensor:
        """(side, cells) float32: each of `side` pixels as a sum of the two cells around it, by their distances.

        This is a transposed convolution by a fixed bilinear kernel with the stride `step`, and its crop to the
        picture. Beyond the outermost cells, weights fall to 0 as they do there.
        """
        centres = self.first + self.step * torch.arange(cells)
        distances = (torch.arange(side)[:, None] - centres).abs()
        return (1 - distances / self.step).clamp(min=0)


def grid(layers: Sequence[Window], padding: int) -> Grid:
    """The cells that `layers` give of a picture with `padding` pixels more on each side.

    Raises:
        Refusal: the first cell is so far within that the first pixels lie between no two cells.
    """
    first, step = 0.0, 1
    for layer in layers:
        first += step * ((layer.kernel - 1) / 2 - layer.padding)
        step *= layer.stride
    least = max(0, int(first - step) + 1)
    if padding < least:
        raise Refusal(f"padding: {padding} leaves the picture's first pixels unseen; this network needs {least}")
    return Grid(first - padding, step)


def least_side(layers: Sequence[Window], cells: int) -> int:
    """Smallest side in pixels of which `layers` give so many cells."""
    side = cells
    for layer in reversed(layers):
        side = (side - 1) * layer.stride + layer.kernel - 2 * layer.padding
    return side
