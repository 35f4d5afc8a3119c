"""The convnets f_theta of the paper (section 3.4), and two residual ones, at any width.

A backbone maps uint8 images to features; `features` is what is clustered (the last ReLU removed),
`forward` what the top layer g_W is trained on (the ReLU in place).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stages.method.architectures import ARCHITECTURES, Layer, Pool, ResidualNetwork, Shape, input_channels
from stages.method.sobel import Normalise, Sobel

TOP_STD = 0.01
"""Deviation of the normal distribution that linear layers start from."""


class Backbone(nn.Module):
    """Fixed input, convolutions, and where there are any the two hidden layers.

    Args:
        architecture: a name of `ARCHITECTURES`.
        sobel: two gradients of the grey image instead of three colours.
        input: side in pixels of the square images.
        width: factor on the number of channels of each layer.
        dropout: share of units dropped while training before each hidden layer (VGG-16: the second alone).

    Attributes:
        dim: number of features per image.

    Raises:
        KeyError: no architecture has that name.
        ValueError: a layer leaves nothing of `input` pixels.
    """

    def __init__(self, architecture: str, *, sobel: bool, input: int, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        plan = ARCHITECTURES[architecture]
        shapes = plan.shapes(sobel=sobel, input=input, width=width)
        self.input = Sobel() if sobel else Normalise()
        self.dim = plan.features(width)
        if isinstance(plan, ResidualNetwork):
            # Here, because torchvision costs a second that the other networks need not pay.
            from stages.method.residual import residual_blocks

            stem = _modules(plan.stem, shapes[: len(plan.stem)], input_channels(sobel))
            self.convolutions = nn.Sequential(*stem, *residual_blocks(plan, width))
            self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            # A residual trunk ends in a ReLU before its pooling: there is none to remove or put back.
            self.activation: nn.Module = nn.Identity()
        else:
            self.convolutions = nn.Sequential(*_modules(plan.layers, shapes, input_channels(sobel)))
            channels, side = shapes[-1]
            self.classifier = nn.Sequential(
                nn.Flatten(),
                nn.Dropout(dropout) if plan.drops_first else nn.Identity(),
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


def _modules(layers: Sequence[Layer], shapes: Sequence[Shape], channels: int) -> list[nn.Module]:
    """The layers, given the channels that come in and what each layer gives."""
    modules: list[nn.Module] = []
    for layer, shape in zip(layers, shapes, strict=True):
        if isinstance(layer, Pool):
            modules.append(nn.MaxPool2d(layer.kernel, layer.stride, layer.padding))
        else:
            modules += [
                nn.Conv2d(channels, shape.channels, layer.kernel, layer.stride, layer.padding, bias=layer.bias),
                nn.BatchNorm2d(shape.channels),
                nn.ReLU(inplace=True),
            ]
        channels = shape.channels
    return modules


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


def trainable(network: nn.Module) -> Iterator[nn.Parameter]:
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
