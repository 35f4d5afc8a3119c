"""Fast R-CNN on a network of a run (section 4.4, Tables 2 to 4; Girshick 2015): the network and its training.

The map after the last convolution is pooled within each region to the grid that fc6 was trained on. fc6 and fc7 give
the features of the region, from which one layer scores the classes and another predicts, for each class, the offsets
to a better box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_pool

from stages.method.networks import Backbone, autocast
from stages.protocols.alignment import side_of, windows
from stages.protocols.boxes import OffsetScale
from stages.protocols.plain_network import draw_hidden, take_apart, to_tensor
from stages.protocols.roi_sampling import Regions
from stages.protocols.solver import Learner, seeded

FROZEN = {"alexnet": ("conv1",), "vgg16": ("conv1", "conv2")}
"""By architecture, the layers that Fast R-CNN's released networks do not train under `all`."""

SCORE_STD, OFFSET_STD = 0.01, 0.001
"""Standard deviations of the initial weights of the two last layers."""


class FastRCNN(nn.Module):
    """A detector on copies of a network's layers, with its batch statistics fixed.

    Args:
        network: an AlexNet or a VGG-16.
        classes: number of classes without the background.
        fc: `run`: fc6 and fc7 start as the network's; `random`: drawn anew.
        scale: what offsets are normalised by; see `stages.protocols.roi_sampling.training_scale`.
        generator: of the layers that are drawn.
        dropout: share of units of fc6 and fc7 that are dropped in training.

    Attributes:
        stride: pixels from one cell of the last map to the next.

    Raises:
        Refusal: a network that ends in an average.
    """

    scale_mean: Tensor
    scale_std: Tensor

    def __init__(
        self,
        network: Backbone,
        classes: int,
        *,
        fc: Literal["run", "random"],
        scale: OffsetScale,
        generator: torch.Generator,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        parts = take_apart(network)
        if fc == "random":
            draw_hidden(parts, generator)
        self.input, self.convolutions, self.side = parts.input, parts.convolutions, parts.side
        self.stride = _centre_cells(self.convolutions)
        self.fc6, self.fc7, self.dropout = parts.fc6, parts.fc7, nn.Dropout(dropout)
        self.score = nn.Linear(self.fc7.out_features, classes + 1)
        self.offset = nn.Linear(self.fc7.out_features, 4 * (classes + 1))
        with torch.no_grad():
            for layer, std in ((self.score, SCORE_STD), (self.offset, OFFSET_STD)):
                layer.weight.normal_(0, std, generator=generator)
                layer.bias.zero_()
        self.register_buffer("scale_mean", torch.tensor(scale.mean))
        self.register_buffer("scale_std", torch.tensor(scale.std))

    @property
    def scale(self) -> OffsetScale:
        """What offsets are normalised by; saved with the weights."""
        return OffsetScale(self.scale_mean.cpu().numpy(), self.scale_std.cpu().numpy())

    def train(self, mode: bool = True) -> FastRCNN:
        """Training mode for dropout; batch normalisation stays in evaluation mode."""
        super().train(mode)
        self.convolutions.eval()
        return self

    def maps(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(B, C, h, w) last maps of (H, W, 3) pictures, smaller ones with zeros on their right and below."""
        device = self.score.weight.device
        seen = [self.input(to_tensor(picture, device)) for picture in pictures]
        height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
        padded = [F.pad(one, (0, width - one.shape[3], 0, height - one.shape[2])) for one in seen]
        out: Tensor = self.convolutions(torch.cat(padded))
        return out

    def heads(self, maps: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """(R, N + 1) scores before the softmax and (R, N + 1, 4) normalised offsets of (R, 5) regions on `maps`."""
        pooled = roi_pool(maps.float(), rois, self.side, 1 / self.stride)
        hidden = self.dropout(F.relu(self.fc6(pooled.flatten(1))))
        hidden = self.dropout(F.relu(self.fc7(hidden)))
        return self.score(hidden), self.offset(hidden).unflatten(1, (-1, 4))

    def forward(self, pictures: Sequence[NDArray[np.uint8]], rois: Tensor) -> tuple[Tensor, Tensor]:
        """`heads` on the maps of `pictures`, with (R, 5) regions: number of the picture, x1, y1, x2, y2 in pixels."""
        return self.heads(self.maps(pictures), rois)


def _centre_cells(convolutions: nn.Sequential) -> int:
    """Pads every layer by half its kernel, in place, and returns the step between cells in pixels.

    Region pooling takes the cell i of a map to lie at pixel i times the step. With the padding that AlexNet is
    trained with, it lies 15 pixels further; Fast R-CNN's own CaffeNet is padded as here. VGG-16 is padded so anyway,
    and its cells lie 7.5 pixels further there too.
    """
    for layer in convolutions:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            half = (side_of(layer.kernel_size) - 1) // 2
            layer.padding = (half, half)
    return math.prod(window.stride for window in windows(convolutions))


def losses(scores: Tensor, offsets: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the classes and of the boxes (Girshick 2015, Eq. 1 to 3), each divided by the number of regions.

    Args:
        scores: (R, N + 1) before the softmax.
        offsets: (R, N + 1, 4) normalised.
        labels: (R,) int64; 0 for background, which has no box.
        targets: (R, 4) normalised offsets.
    """
    own = offsets[torch.arange(len(labels), device=labels.device), labels].float()
    boxes = F.smooth_l1_loss(own, targets, reduction="none", beta=1.0).sum(1) * (labels > 0)
    return F.cross_entropy(scores.float(), labels), boxes.sum() / len(labels)


def detection_step(
    learner: Learner,
    pictures: Sequence[NDArray[np.uint8]],
    regions: Regions,
    rng: np.random.Generator,
    precision: str = "float32",
) -> tuple[Tensor, Tensor]:
    """One update of a `FastRCNN`.

    Args:
        pictures: (H, W, 3) resized, and mirrored where that was drawn.
        regions: of these pictures.
        rng: of dropout.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.

    Returns:
        The loss of the classes and of the boxes, as scalars on the device.
    """
    device = learner.device
    learner.model.train()
    rois, labels, targets = (
        torch.from_numpy(part).to(device, non_blocking=True) for part in (regions.rois, regions.labels, regions.targets)
    )
    with seeded(rng, device), autocast(device, precision):
        scores, offsets = learner.model(pictures, rois)
    classes, boxes = losses(scores, offsets, labels, targets)
    (classes + boxes).backward()
    learner.update()
    return classes.detach(), boxes.detach()
