"""The blocks of residual networks as torchvision's modules, at any width."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from stages.method.architectures import BASIC, BOTTLENECK, BlockKind, PooledNetwork

MODULES: dict[BlockKind, type[BasicBlock | Bottleneck]] = {BASIC: BasicBlock, BOTTLENECK: Bottleneck}


def residual_blocks(architecture: PooledNetwork, width: float) -> list[nn.Module]:
    """All blocks of the network from the first to the last.

    torchvision's own builder is not used because its `width_per_group` scales the inner layers of bottlenecks alone;
    `width` scales every layer.
    """
    blocks: list[nn.Module] = []
    for block in architecture.blocks(width):
        shortcut = None
        if block.convolves_shortcut:
            convolution = nn.Conv2d(block.incoming, block.out, 1, block.stride, bias=False)
            shortcut = nn.Sequential(convolution, nn.BatchNorm2d(block.out))
        blocks.append(MODULES[architecture.kind](block.incoming, block.planes, block.stride, shortcut))
    return blocks
