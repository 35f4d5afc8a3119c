"""FCN-32s on a network of a run (section 4.4; Shelhamer et al. 2017): one score for each pixel and class.

fc6 and fc7 become convolutions, a last one scores the classes of each cell, and the scores of pixels lie between
those of the cells around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from stages.method.networks import Backbone, autocast
from stages.protocols.alignment import grid, least_side, windows
from stages.protocols.plain_network import draw_hidden, take_apart, to_tensor
from stages.protocols.solver import Learner, seeded

VOID = 255
"""Label of pixels that are neither trained on nor measured."""


class FCN(nn.Module):
    """A segmentation on copies of a network's layers, with its batch statistics fixed.

    Args:
        network: an AlexNet or a VGG-16.
        classes: number of classes, the background among them.
        fc: `run`: fc6 and fc7 start as the network's; `random`: drawn anew.
        padding: zeros around the picture in pixels, instead of the first convolution's own.
        generator: of fc6 and fc7 where they are drawn.
        dropout: share of units of fc6 and fc7 that are dropped in training.

    Attributes:
        grid: where the cells lie in the picture.

    Raises:
        Refusal: a network that ends in an average, or too little padding.
    """

    def __init__(
        self,
        network: Backbone,
        classes: int,
        *,
        fc: Literal["run", "random"],
        generator: torch.Generator,
        padding: int = 100,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        parts = take_apart(network)
        if fc == "random":
            draw_hidden(parts, generator)
        self.input, self.padding = parts.input, padding
        self.convolutions = nn.Sequential(*parts.convolutions, parts.pool)
        self.fc6, self.fc7 = _convolution(parts.fc6, parts.side), _convolution(parts.fc7, 1)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Conv2d(self.fc7.out_channels, classes, 1)
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)
        first = self.convolutions[0]
        assert isinstance(first, nn.Conv2d)
        first.padding = (0, 0)
        self._windows = windows([*self.convolutions, self.fc6])
        self.grid = grid(self._windows, padding)

    def train(self, mode: bool = True) -> FCN:
        """Training mode for dropout; batch normalisation stays in evaluation mode."""
        super().train(mode)
        self.convolutions.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, classes, H, W) float32 scores before the softmax of uint8 (B, 3, H, W) pictures of any size."""
        (rows, below), (columns, right) = (self._reach(side) for side in pictures.shape[2:])
        seen = F.pad(self.input(pictures), (self.padding, right, self.padding, below))
        hidden = self.dropout(F.relu(self.fc6(self.convolutions(seen))))
        cells = self.score(self.dropout(F.relu(self.fc7(hidden))))
        with torch.autocast(cells.device.type, enabled=False):
            vertical, horizontal = (
                self.grid.weights(side, count).to(cells.device)
                for side, count in zip(pictures.shape[2:], (rows, columns), strict=True)
            )
            return vertical @ cells.float() @ horizontal.T

    def _reach(self, side: int) -> tuple[int, int]:
        """Cells along a side of the picture, and the zeros after its end that they need.

        Caffe's poolings round up and so reach the end; ours round down, and see `step` - 1 zeros more at most.
        """
        cells = self.grid.cells(side)
        return cells, least_side(self._windows, cells) - side - self.padding


def _convolution(layer: nn.Linear, side: int) -> nn.Conv2d:
    """The convolution that computes `layer` on each square of `side` times `side` cells."""
    # Weights that would be drawn only to be replaced take a second at full size.
    convolution: nn.Conv2d = skip_init(nn.Conv2d, layer.in_features // side**2, layer.out_features, side)
    with torch.no_grad():
        convolution.weight.copy_(layer.weight.view_as(convolution.weight))
        assert convolution.bias is not None
        convolution.bias.copy_(layer.bias)
    return convolution


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of (B, classes, H, W) scores over the pixels of (B, H, W) labels that are not `VOID`."""
    total = F.cross_entropy(scores, labels, ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)


def segmentation_step(
    learner: Learner,
    examples: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    rng: np.random.Generator,
    precision: str = "float32",
) -> Tensor:
    """One update of an `FCN` on whole pictures, one after the other: their mean gradient.

    Args:
        examples: (H, W, 3) pictures and their (H, W) labels.
        rng: of dropout.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.

    Returns:
        The mean of their losses, as a scalar on the device.
    """
    device = learner.device
    learner.model.train()
    total = torch.zeros((), device=device)
    with seeded(rng, device):
        for picture, labels in examples:
            with autocast(device, precision):
                scores = learner.model(to_tensor(picture, device))
            target = torch.from_numpy(labels.astype(np.int64)).to(device, non_blocking=True)[None]
            share = loss(scores, target) / len(examples)
            share.backward()
            total += share.detach()
    learner.update()
    return total


def segment(model: FCN, picture: NDArray[np.uint8], precision: str = "float32") -> NDArray[np.uint8]:
    """(H, W) uint8 class of each pixel of an (H, W, 3) picture."""
    device = model.score.weight.device
    model.eval()
    with torch.no_grad(), autocast(device, precision):
        scores = model(to_tensor(picture, device))
    return scores[0].argmax(0).to(torch.uint8).cpu().numpy()
