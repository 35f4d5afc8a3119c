"""ResNet-18 and ResNet-50 trunks, of torchvision's blocks, with our first layer and widths."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

BLOCKS: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}

LEAST_CHANNELS = 16
"""With fewer, oneDNN (3.13 was tried) computes wrong gradients of a shortcut's 1x1 convolution of stride 2 in
channels_last, and writes beyond its memory: uxlfoundation/oneDNN#6035."""


def residual_trunk(architecture: str, channels: int, width: float) -> tuple[nn.Sequential, int]:
    """Convolutions for `channels` input channels, and the number of channels that they end in.

    torchvision's own builder scales the inner layers of bottlenecks only; `width` scales all.
    """
    block, counts = BLOCKS[architecture]
    planes = [max(LEAST_CHANNELS, round(base * width)) for base in (64, 128, 256, 512)]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, planes[0], 7, 2, 3, bias=False),
        nn.BatchNorm2d(planes[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = planes[0]
    for stage, (plane, count) in enumerate(zip(planes, counts, strict=True)):
        for index in range(count):
            stride = 2 if index == 0 and stage > 0 else 1
            out = plane * block.expansion
            shortcut = None
            if stride != 1 or channels != out:
                shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            layers.append(block(channels, plane, stride, shortcut))
            channels = out
    return nn.Sequential(*layers), channels
