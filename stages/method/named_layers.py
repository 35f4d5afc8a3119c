"""The layers that section 4 evaluates, by name: where each lies in a network, and its size, without torch.

`conv1`, `conv2`, ... are maps after a ReLU and before any pooling: in AlexNet of each convolution, in VGG-16 of the
last convolution of each block, in networks that end in an average of each convolution of the stem and of each group
of residual blocks (He et al. 2016, table 1). `pool` is what lies between the maps and the rest, flat: the last
max-pooling, or the mean over all pixels. `fc6` and `fc7` are the hidden layers after their ReLU, and `features` is
what section 3.2 clusters: `fc7` before its ReLU, or `pool` where the network ends in an average.
"""

from __future__ import annotations

from typing import NamedTuple

from stages.method import architectures
from stages.method.architectures import Architecture, Convolution, Layer, PooledNetwork, Shape


class Place(NamedTuple):
    """Where the maps of a layer are found."""

    layer: int
    """Index into the architecture's `shapes`."""
    module: int
    """Index into `Backbone.convolutions` of the module that gives them: a ReLU, or a residual block."""


def places(architecture: Architecture) -> dict[str, Place]:
    """The place of conv1, conv2, ... in that order."""
    stem = _layers(architecture)
    ends, module = list[Place](), -1
    for index, layer in enumerate(stem):
        # A convolution is three modules: itself, its batch normalisation and its ReLU.
        module += 3 if isinstance(layer, Convolution) else 1
        if isinstance(layer, Convolution) and not _is_inside_block(architecture, index):
            ends.append(Place(index, module))
    if isinstance(architecture, PooledNetwork):
        blocks = 0
        for count in architecture.counts:
            blocks += count
            ends.append(Place(len(stem) + blocks - 1, module + blocks))
    return {f"conv{number}": place for number, place in enumerate(ends, start=1)}


def _is_inside_block(architecture: Architecture, index: int) -> bool:
    """Whether blocks are what is counted, and convolution number `index` of the layers is not the last of one."""
    if isinstance(architecture, PooledNetwork) or not architecture.counts_blocks:
        return False
    return any(isinstance(layer, Convolution) for layer in architecture.layers[index + 1 : index + 2])


def vectors(architecture: Architecture) -> tuple[str, ...]:
    """The names of the layers that have no pixels, in the order of the network."""
    return ("pool", "features") if isinstance(architecture, PooledNetwork) else ("pool", "fc6", "fc7", "features")


def names(architecture: Architecture) -> tuple[str, ...]:
    """The names of all layers that can be evaluated, in the order of the network."""
    return (*places(architecture), *vectors(architecture))


def map_shape(architecture: Architecture, name: str, *, sobel: bool, input: int, width: float = 1.0) -> Shape:
    """The shape of the maps of `name`, one of `places`, for a square image with a side of `input` pixels."""
    return architecture.shapes(sobel=sobel, input=input, width=width)[places(architecture)[name].layer]


def dimension(architecture: Architecture, name: str, *, sobel: bool, input: int, width: float = 1.0) -> int:
    """Number of values of an image in `name`, one of `names`."""
    if name in places(architecture):
        channels, side = map_shape(architecture, name, sobel=sobel, input=input, width=width)
        return channels * side**2
    if name == "pool" and not isinstance(architecture, PooledNetwork):
        channels, side = architecture.shapes(sobel=sobel, input=input, width=width)[-1]
        return channels * side**2
    return architecture.features(width)


def least_side(architecture: Architecture, name: str) -> int:
    """Smallest side in pixels of a picture that leaves a pixel in the maps of `name`, one of `places`."""
    # Residual blocks pad, so any side goes through them.
    return architectures.least_side(_layers(architecture)[: places(architecture)[name].layer + 1])


def _layers(architecture: Architecture) -> tuple[Layer, ...]:
    """The convolutions and poolings that lie before residual blocks or hidden layers."""
    return architecture.stem if isinstance(architecture, PooledNetwork) else architecture.layers
