"""The convnets f_theta of the paper (section 3.4), and two residual ones, at any width.

A backbone maps uint8 images to features; `features` is what is clustered (the last ReLU removed),
`forward` what the top layer g_W is trained on (the ReLU in place).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stages.method.sobel import Normalise, Sobel

TOP_STD = 0.01
"""Deviation of the normal distribution that linear layers start from."""


@dataclass(frozen=True)
class Architecture:
    """Convolutions as (filters, kernel, stride, padding), "M" being a max-pooling."""

    layers: tuple[tuple[int, int, int, int] | str, ...]
    pool: tuple[int, int]


ALEXNET = Architecture(
    ((96, 11, 4, 2), "M", (256, 5, 1, 2), "M", (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1), "M"),
    pool=(3, 2),
)


def _vgg16() -> Architecture:
    layers: list[tuple[int, int, int, int] | str] = []
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [(filters, 3, 1, 1)] * count + ["M"]
    return Architecture(tuple(layers), pool=(2, 2))


VGG16 = _vgg16()


class Backbone(nn.Module):
    """Fixed input, convolutions, and where there are any the two hidden layers.

    Args:
        architecture: "alexnet", "vgg16", "resnet18" or "resnet50".
        sobel: two gradients of the grey image instead of three colours.
        input: side in pixels of the square images.
        width: factor on the number of channels of each layer.
        dropout: share of units dropped while training before each hidden layer (VGG-16: the second alone).

    Attributes:
        dim: number of features per image.
    """

    def __init__(self, architecture: str, *, sobel: bool, input: int, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        self.input = Sobel() if sobel else Normalise()
        channels = self.input.channels
        if architecture in ("resnet18", "resnet50"):
            # Here, because torchvision costs a second that the other networks need not pay.
            from stages.method.residual import residual_trunk

            self.convolutions, self.dim = residual_trunk(architecture, channels, width)
            self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            # A residual trunk ends in a ReLU before its pooling: there is none to remove or put back.
            self.activation: nn.Module = nn.Identity()
        else:
            plan = {"alexnet": ALEXNET, "vgg16": VGG16}[architecture]
            self.convolutions, channels, side = _convolutions(plan, channels, input, width)
            self.dim = max(1, round(4096 * width))
            # VGG-16's first hidden layer sees all that the convolutions give; AlexNet's a part.
            first = nn.Dropout(dropout) if architecture == "alexnet" else nn.Identity()
            self.classifier = nn.Sequential(
                nn.Flatten(),
                first,
                nn.Linear(channels * side * side, self.dim),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(self.dim, self.dim),
            )
            self.activation = nn.ReLU()

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, input, input) to (B, dim): what is clustered, negative values included."""
        features: Tensor = self.classifier(self.convolutions(self.input(images)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, input, input) to (B, dim): what the top layer sees."""
        out: Tensor = self.activation(self.features(images))
        return out


def fold(network: Backbone) -> Backbone:
    """Changes a network in evaluation so that it gives the same features, up to rounding, in less time.

    Each batch normalisation, by then a fixed scale and shift, goes into the convolution before it.
    """
    for module in list(network.modules()):
        for (name, conv), (following, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, following, nn.Identity())
    return network


def _convolutions(plan: Architecture, channels: int, side: int, width: float) -> tuple[nn.Sequential, int, int]:
    layers: list[nn.Module] = []
    for layer in plan.layers:
        if isinstance(layer, str):
            kernel, stride = plan.pool
            layers.append(nn.MaxPool2d(kernel, stride))
            side = (side - kernel) // stride + 1
        else:
            filters, kernel, stride, padding = layer
            filters = max(1, round(filters * width))
            layers += [
                nn.Conv2d(channels, filters, kernel, stride, padding),
                nn.BatchNorm2d(filters),
                nn.ReLU(inplace=True),
            ]
            channels = filters
            side = (side + 2 * padding - kernel) // stride + 1
    return nn.Sequential(*layers), channels, side


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Convolutions normal with deviation sqrt(2 / (k k out)), linear layers normal(0, .01).

    Biases are zero, batch normalisation is the identity.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                module.weight.normal_(0, math.sqrt(2 / fan), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                assert module.weight is not None and module.bias is not None
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0, TOP_STD, generator=generator)
                module.bias.zero_()


def top_layer(dim: int, labels: int) -> nn.Linear:
    """A new classifier g_W over `labels` pseudo-labels, from the global random state."""
    top = nn.Linear(dim, labels)
    with torch.no_grad():
        top.weight.normal_(0, TOP_STD)
        top.bias.zero_()
    return top


def trained(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that the optimiser sees."""
    return (parameter for parameter in network.parameters() if parameter.requires_grad)


def place(network: Backbone, device: torch.device) -> Backbone:
    """The network on `device`, its convolutions in channels_last, the faster layout on CPU and GPU."""
    moved: Backbone = network.to(device).to(memory_format=torch.channels_last)
    return moved


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 arithmetic where the run asks for it; weights stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
