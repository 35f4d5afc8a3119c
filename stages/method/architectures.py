"""The layers of each network as data: the convnets of section 3.4, residual networks, and some for small pictures.

`stages.method.networks` builds the networks from these layers. The number of features, of parameters and the
smallest input are computed from the same layers without torch, which takes seconds to import, so that planning and
refusals stay quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Convolution:
    """A convolution, then batch normalisation and a ReLU.

    Attributes:
        filters: number of output channels at width 1.
        kernel: side of a filter in pixels.
        stride: step in pixels.
        padding: pixels of zeros on each side.
        bias: whether the convolution adds a bias. It has no effect on the output, since batch normalisation
            subtracts it, but it is a parameter of the published networks.
    """

    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class Pool:
    """A max-pooling; kernel, stride and padding are in pixels."""

    kernel: int
    stride: int
    padding: int = 0


Layer = Convolution | Pool


class Shape(NamedTuple):
    """Shape of a layer's output for one image: (channels, side, side), with the side in pixels."""

    channels: int
    side: int


@dataclass(frozen=True)
class PlainNetwork:
    """Convolutions and poolings in sequence, then two fully connected hidden layers of equal size.

    Attributes:
        layers: all layers before the first hidden one.
        hidden: units of each hidden layer at width 1.
        drops_first: True: dropout before both hidden layers; False: before the second alone.
        counts_blocks: conv1, conv2, ... are True: the last convolutions before each pooling; False: all convolutions.
    """

    layers: tuple[Layer, ...]
    hidden: int
    drops_first: bool
    counts_blocks: bool = False

    @property
    def least_input(self) -> int:
        """Smallest input side in pixels for which every layer's output has at least one pixel."""
        return least_side(self.layers)

    def features(self, width: float = 1.0) -> int:
        """Number of features of an image."""
        return scaled(self.hidden, width)

    def shapes(self, *, sobel: bool, input: int, width: float = 1.0) -> list[Shape]:
        """Output shape of each of `layers` for a square image with a side of `input` pixels.

        Raises:
            ValueError: the image is too small for one of the layers.
        """
        return list(_shapes(self.layers, Shape(input_channels(sobel), input), width))

    def parameters(self, *, sobel: bool, input: int, width: float = 1.0) -> int:
        """Number of trainable parameters without the top layer.

        Raises:
            ValueError: an image with a side of `input` pixels is too small for one of the layers.
        """
        shapes = self.shapes(sobel=sobel, input=input, width=width)
        flat, hidden = shapes[-1].channels * shapes[-1].side ** 2, self.features(width)
        return _parameters(self.layers, shapes, input_channels(sobel)) + (flat + 1) * hidden + (hidden + 1) * hidden


@dataclass(frozen=True)
class BlockKind:
    """A residual block: convolutions without bias, each followed by batch normalisation, and a shortcut around them.

    Attributes:
        kernels: side in pixels of each convolution's filters.
        expansion: output channels of the last convolution divided by those of the others.
    """

    kernels: tuple[int, ...]
    expansion: int


BASIC = BlockKind((3, 3), expansion=1)
BOTTLENECK = BlockKind((1, 3, 1), expansion=4)


class Block(NamedTuple):
    """One residual block of a network at a given width."""

    incoming: int
    """Input channels."""
    planes: int
    """Output channels of the convolutions before the last."""
    out: int
    """Output channels of the block."""
    stride: int
    """Step in pixels of the one convolution that may halve the side."""

    @property
    def convolves_shortcut(self) -> bool:
        """Whether input and output differ in shape, so that the shortcut needs a 1x1 convolution."""
        return self.stride != 1 or self.incoming != self.out


@dataclass(frozen=True)
class PooledNetwork:
    """A stem, groups of residual blocks if it has any, and the mean over the remaining pixels (global average pooling).

    Attributes:
        stem: layers before the first block; the last is a convolution where there are no blocks.
        kind: kind of all blocks.
        counts: number of blocks in each group; every group but the first halves the side. Empty for a network without.
        planes: channels of each group at width 1, before the kind's expansion.
        least_input: smallest input side in pixels that a run may have. Padding lets any side through blocks, so
            this is a choice: the product of all strides.
        least_channels: fewest channels of a layer at any width. With fewer, oneDNN (3.13 was tried) computes wrong
            gradients of a shortcut's 1x1 convolution of stride 2 in channels_last, and writes outside its memory:
            uxlfoundation/oneDNN#6035.
    """

    stem: tuple[Layer, ...]
    kind: BlockKind
    counts: tuple[int, ...]
    planes: tuple[int, ...]
    least_input: int
    least_channels: int = 16

    def features(self, width: float = 1.0) -> int:
        """Number of features of an image: the channels that are averaged."""
        blocks = self.blocks(width)
        return blocks[-1].out if blocks else self._stem_channels(width)

    def blocks(self, width: float = 1.0) -> list[Block]:
        """All blocks from the first to the last."""
        planes = [scaled(plane, width, self.least_channels) for plane in self.planes]
        channels = self._stem_channels(width)
        blocks = []
        for stage, (plane, count) in enumerate(zip(planes, self.counts, strict=True)):
            for index in range(count):
                stride = 2 if index == 0 and stage > 0 else 1
                blocks.append(Block(channels, plane, plane * self.kind.expansion, stride))
                channels = blocks[-1].out
        return blocks

    def _stem_channels(self, width: float) -> int:
        """Channels that the stem's last convolution gives."""
        filters = [layer.filters for layer in self.stem if isinstance(layer, Convolution)]
        return scaled(filters[-1], width, self.least_channels)

    def shapes(self, *, sobel: bool, input: int, width: float = 1.0) -> list[Shape]:
        """Output shape of each layer of the stem and of each block for a square image of side `input`.

        Raises:
            ValueError: the image is too small for a layer of the stem.
        """
        shapes = list(_shapes(self.stem, Shape(input_channels(sobel), input), width, self.least_channels))
        for block in self.blocks(width):
            shapes.append(Shape(block.out, (shapes[-1].side - 1) // block.stride + 1))
        return shapes

    def parameters(self, *, sobel: bool, input: int, width: float = 1.0) -> int:
        """Number of trainable parameters without the top layer, the same for every `input` that fits.

        Raises:
            ValueError: an image with a side of `input` pixels is too small for a layer of the stem.
        """
        total = _parameters(self.stem, self.shapes(sobel=sobel, input=input, width=width), input_channels(sobel))
        for block in self.blocks(width):
            channels = block.incoming
            for index, kernel in enumerate(self.kind.kernels, start=1):
                out = block.out if index == len(self.kind.kernels) else block.planes
                total += _convolution(channels, out, kernel, bias=False)
                channels = out
            if block.convolves_shortcut:
                total += _convolution(block.incoming, block.out, 1, bias=False)
        return total


Architecture = PlainNetwork | PooledNetwork


def input_channels(sobel: bool) -> int:
    """Channels that the first convolution sees: two gradients of the grey image, or three colours."""
    return 2 if sobel else 3


def scaled(channels: int, width: float, least: int = 1) -> int:
    """Number of channels at `width` of a layer that has `channels` at width 1; at least `least`."""
    return max(least, round(channels * width))


def least_side(layers: Sequence[Layer]) -> int:
    """Smallest side in pixels of which every one of `layers`, one after the other, leaves at least one pixel."""
    side = 1
    for layer in reversed(layers):
        side = max(1, (side - 1) * layer.stride + layer.kernel - 2 * layer.padding)
    return side


def _shapes(layers: Iterable[Layer], shape: Shape, width: float, least: int = 1) -> Iterator[Shape]:
    for layer in layers:
        side = (shape.side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        if side < 1:
            raise ValueError(f"{layer} leaves nothing of a side of {shape.side} pixels")
        channels = scaled(layer.filters, width, least) if isinstance(layer, Convolution) else shape.channels
        shape = Shape(channels, side)
        yield shape


def _parameters(layers: Iterable[Layer], shapes: Iterable[Shape], channels: int) -> int:
    """Number of parameters of `layers`, which see `channels` channels and give `shapes`."""
    total = 0
    for layer, shape in zip(layers, shapes, strict=False):
        if isinstance(layer, Convolution):
            total += _convolution(channels, shape.channels, layer.kernel, layer.bias)
        channels = shape.channels
    return total


def _convolution(incoming: int, filters: int, kernel: int, bias: bool) -> int:
    """Number of parameters of a convolution and of the scale and shift of its batch normalisation."""
    return filters * (incoming * kernel**2 + bias + 2)


def _vgg16() -> PlainNetwork:
    layers: list[Layer] = []
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [*[Convolution(filters, 3, padding=1)] * count, Pool(2, 2)]
    return PlainNetwork(tuple(layers), hidden=4096, drops_first=False, counts_blocks=True)


_STEM = (Convolution(64, 7, stride=2, padding=3, bias=False), Pool(3, 2, padding=1))
_SMALL_STEM = (Convolution(64, 5, stride=2, padding=2, bias=False), Pool(3, 2, padding=1))
_CIFAR_STEM = (Convolution(64, 3, padding=1, bias=False),)
_PLANES = (64, 128, 256, 512)


def _convnet() -> PooledNetwork:
    layers: list[Layer] = []
    for filters in (64, 128, 192):
        layers += [Convolution(filters, 3, padding=1, bias=False), Pool(2, 2)]
    layers += [Convolution(256, 3, padding=1, bias=False)] * 2
    return PooledNetwork(tuple(layers), BASIC, (), (), least_input=8)


ARCHITECTURES: dict[str, Architecture] = {
    "alexnet": PlainNetwork(
        (
            Convolution(96, 11, stride=4, padding=2),
            Pool(3, 2),
            Convolution(256, 5, padding=2),
            Pool(3, 2),
            Convolution(384, 3, padding=1),
            Convolution(384, 3, padding=1),
            Convolution(256, 3, padding=1),
            Pool(3, 2),
        ),
        hidden=4096,
        drops_first=True,
    ),
    "vgg16": _vgg16(),
    "resnet18": PooledNetwork(_STEM, BASIC, (2, 2, 2, 2), _PLANES, least_input=32),
    "resnet50": PooledNetwork(_STEM, BOTTLENECK, (3, 4, 6, 3), _PLANES, least_input=32),
    "resnet10": PooledNetwork(_SMALL_STEM, BASIC, (1, 1, 1, 1), _PLANES, least_input=32),
    "convnet": _convnet(),
    "resnet10-cifar": PooledNetwork(_CIFAR_STEM, BASIC, (1, 1, 1, 1), _PLANES, least_input=8),
    "resnet18-cifar": PooledNetwork(_CIFAR_STEM, BASIC, (2, 2, 2, 2), _PLANES, least_input=8),
}
"""By the name that `model.architecture` gives: AlexNet and VGG-16 with batch normalisation (section 3.4), and the
18-layer and 50-layer networks of He et al. (2016), table 1.
For small pictures: `resnet10` has a block a group and a smaller first filter; `-cifar` keeps every pixel before the
first block, from 8 pixels; `convnet` is five convolutions and the mean over pixels, the quickest on a CPU."""
