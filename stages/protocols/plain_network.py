"""AlexNet and VGG-16 taken apart, for the detector and the segmentation that are built from them (section 4.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.errors import Refusal
from stages.method.networks import TOP_STD, Backbone
from stages.method.sobel import Normalise

HIDDEN_BIAS = 0.1
"""Initial bias of hidden layers that are drawn anew, as in the authors' VOC classification."""

Trained = Literal["fc6-8", "all"]
"""What is trained: the layers after the convolutions, or the convolutions too."""


@dataclass(frozen=True)
class Parts:
    """The parts of a network, copies of their own.

    Attributes:
        input: the fixed preprocessing.
        convolutions: all layers before the last pooling.
        pool: the last pooling.
        fc6, fc7: the hidden layers.
        side: side in cells of the map that fc6 sees.
    """

    input: Normalise
    convolutions: nn.Sequential
    pool: nn.MaxPool2d
    fc6: nn.Linear
    fc7: nn.Linear
    side: int


def take_apart(network: Backbone) -> Parts:
    """Copies of the parts of an AlexNet or a VGG-16.

    Raises:
        Refusal: a network that ends in an average, which has no hidden layers.
    """
    hidden = [module for module in network.classifier if isinstance(module, nn.Linear)]
    if not hidden:
        raise Refusal(
            "detection and segmentation go on from fc6 and fc7, which networks that end in an average lack: "
            "take a run whose model.architecture is alexnet or vgg16"
        )
    fc6, fc7 = (deepcopy(layer) for layer in hidden)
    *convolutions, pool = deepcopy(network.convolutions)
    assert isinstance(pool, nn.MaxPool2d)
    filters = [layer.out_channels for layer in convolutions if isinstance(layer, nn.Conv2d)]
    side = math.isqrt(fc6.in_features // filters[-1])
    return Parts(deepcopy(network.input), nn.Sequential(*convolutions), pool, fc6, fc7, side)


def draw_hidden(parts: Parts, generator: torch.Generator) -> None:
    """Draws fc6 and fc7 anew: weights normal with `TOP_STD`, biases `HIDDEN_BIAS`, whatever the run has learnt."""
    with torch.no_grad():
        for layer in (parts.fc6, parts.fc7):
            layer.weight.normal_(0, TOP_STD, generator=generator)
            layer.bias.fill_(HIDDEN_BIAS)


def named_layers(convolutions: nn.Sequential) -> dict[str, list[nn.Module]]:
    """Modules of conv1 to conv5: AlexNet's five convolutions, VGG-16's five blocks between poolings."""
    pools = [isinstance(module, nn.MaxPool2d) for module in convolutions]
    starts = [isinstance(module, nn.Conv2d) for module in convolutions]
    if sum(pools) >= 4:
        starts = [True, *pools[:-1]]
    layers: list[list[nn.Module]] = []
    for module, start in zip(convolutions, starts, strict=True):
        if start:
            layers.append([])
        layers[-1].append(module)
    return {f"conv{number}": modules for number, modules in enumerate(layers, start=1)}


def train_only(convolutions: nn.Sequential, trained: Trained, frozen: Sequence[str]) -> None:
    """Lets SGD change no convolution under `fc6-8`, and under `all` those that are not `frozen`.

    The scale and shift of a batch normalisation go with its convolution. Its statistics are fixed by those who hold
    `convolutions` in evaluation mode.

    Args:
        frozen: names of layers, conv1 to conv5.

    Raises:
        Refusal: the network has no layer of such a name.
    """
    layers = named_layers(convolutions)
    for name in frozen:
        if name not in layers:
            raise Refusal(f"frozen: {name} is no layer of this network, which has {', '.join(layers)}")
    for name, modules in layers.items():
        for module in modules:
            module.requires_grad_(trained == "all" and name not in frozen)


def to_tensor(picture: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(1, 3, H, W) uint8 of an (H, W, 3) picture, which may be a mirrored view or one that cannot be written."""
    return torch.from_numpy(np.array(picture, order="C")).to(device, non_blocking=True).permute(2, 0, 1)[None]
