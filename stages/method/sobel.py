"""The fixed first step of the network: normalised colours, or the Sobel filters of section 3.4."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """uint8 (B, 3, H, W) to float32 (B, 3, H, W), normalised by ImageNet's mean and standard deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not saved in checkpoints: they are constants.
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 normalised colours of uint8 (B, 3, H, W) images."""
        # With the channels as the last dimension, as packed pictures lie in memory, this is one pass over the pixels.
        return torch.addcmul(self.shift, images.permute(0, 2, 3, 1).to(self.scale.dtype), self.scale).permute(
            0, 3, 1, 2
        )


class Sobel(Normalise):
    """uint8 (B, 3, H, W) to float32 (B, 2, H, W): horizontal and vertical gradient of the grey image; not trained.

    "A fixed linear transformation based on Sobel filters to remove color and increase local contrast"
    (section 3.4). Grey is the mean of the three normalised channels; outside of the image it counts as 0.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        horizontal = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        vertical = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        kernel = torch.stack([horizontal, vertical]).unsqueeze(1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 2, H, W) float32 gradients of uint8 (B, 3, H, W) images."""
        # Always in float32: bfloat16 would round the pixels before their differences are taken.
        with torch.autocast(images.device.type, enabled=False):
            # Normalising and averaging the channels is one product with three weights; no colours are stored.
            grey = images.permute(0, 2, 3, 1).to(self.scale.dtype) @ (self.scale / 3) + self.shift.mean()
            # One channel lies in memory the same way in both layouts. Presented as channels_last, it yields
            # gradients in channels_last, with which the first convolution takes half the time.
            last = grey.unsqueeze(3).permute(0, 3, 1, 2)
            kernel = self.kernel.to(memory_format=torch.channels_last)
            return F.conv2d(last, kernel, padding=1).contiguous(memory_format=torch.channels_last)
