"""The fixed input of the network: normalisation, and the Sobel filters of section 3.4."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """uint8 (B, 3, H, W) to float32 (B, 3, H, W) with ImageNet's mean and deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not part of the state: they never change, and a checkpoint holds what was learned.
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # Channels last, as packed pictures lie in memory: one pass, and no pixel is moved.
        return torch.addcmul(self.shift, images.permute(0, 2, 3, 1).to(self.scale.dtype), self.scale).permute(
            0, 3, 1, 2
        )


class Sobel(Normalise):
    """uint8 (B, 3, H, W) to the two gradients (B, 2, H, W) of its grey version; frozen.

    "A fixed linear transformation based on Sobel filters to remove color and increase local
    contrast" (section 3.4). Grey is the mean of the three normalised channels; borders are zero.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        horizontal = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        vertical = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        kernel = torch.stack([horizontal, vertical]).unsqueeze(1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # Gradients of 8-bit pixels are cheap, and half precision would round them first.
        with torch.autocast(images.device.type, enabled=False):
            # Normalising and averaging are one product with three weights, a third of the memory.
            grey = images.permute(0, 2, 3, 1).to(self.scale.dtype) @ (self.scale / 3) + self.shift.mean()
            # Of one channel both layouts are the same memory; said to be the last, the gradients come out so too,
            # and the first convolution takes half the time.
            last = grey.unsqueeze(3).permute(0, 3, 1, 2)
            kernel = self.kernel.to(memory_format=torch.channels_last)
            return F.conv2d(last, kernel, padding=1).contiguous(memory_format=torch.channels_last)
