"""The blocks of residual networks, torchvision's, at our widths."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from stages.method.architectures import BASIC, BOTTLENECK, BlockKind, ResidualNetwork

MODULES: dict[BlockKind, type[BasicBlock | Bottleneck]] = {BASIC: BasicBlock, BOTTLENECK: Bottleneck}


def residual_blocks(architecture: ResidualNetwork, width: float) -> list[nn.Module]:
    """All blocks in their order.

    torchvision's own builder scales the inner layers of bottlenecks only; `width` scales all.
    """
    blocks: list[nn.Module] = []
    for block in architecture.blocks(width):
        shortcut = None
        if block.convolves_shortcut:
            convolution = nn.Conv2d(block.incoming, block.out, 1, block.stride, bias=False)
            shortcut = nn.Sequential(convolution, nn.BatchNorm2d(block.out))
        blocks.append(MODULES[architecture.kind](block.incoming, block.planes, block.stride, shortcut))
    return blocks
