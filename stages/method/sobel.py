"""The fixed input of the network: normalisation, and the Sobel filters of section 3.4."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """uint8 (B, 3, H, W) to float32 (B, 3, H, W) with ImageNet's mean and deviation."""

    channels = 3
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not part of the state: they never change, and a checkpoint holds what was learned.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean) / self.std


class Sobel(Normalise):
    """uint8 (B, 3, H, W) to the two gradients (B, 2, H, W) of its grey version; frozen.

    "A fixed linear transformation based on Sobel filters to remove color and increase local
    contrast" (section 3.4). Grey is the mean of the three normalised channels; borders are zero.
    """

    channels = 2
    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        horizontal = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        vertical = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        kernel = torch.stack([horizontal, vertical]).unsqueeze(1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        grey = super().forward(images).mean(1, keepdim=True)
        # Gradients of 8-bit pixels are cheap, and half precision would round them first.
        with torch.autocast(grey.device.type, enabled=False):
            return F.conv2d(grey, self.kernel, padding=1)
