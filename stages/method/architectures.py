"""What each network consists of, as data: the convnets of section 3.4, and two residual ones, at any width.

Networks are built from these layers. Their sizes follow from them too, without torch, for which a plan
or a refusal need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Convolution:
    """A convolution, then batch normalisation and a ReLU.

    Attributes:
        filters: their number at width 1.
        kernel: side of a filter in pixels.
        stride: step in pixels.
        padding: pixels of zeros on each side.
        bias: whether the convolution has one, which batch normalisation would take away again.
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
    """What a layer gives for one image: (channels, side, side)."""

    channels: int
    side: int


@dataclass(frozen=True)
class PlainNetwork:
    """Convolutions one after the other, then two hidden layers of equal size.

    Attributes:
        layers: up to the first hidden layer.
        hidden: units of each hidden layer at width 1.
        drops_first: whether dropout stands before the first hidden layer too, and not the second alone.
    """

    layers: tuple[Layer, ...]
    hidden: int
    drops_first: bool

    @property
    def least_input(self) -> int:
        """Smallest side in pixels of an input of which each layer leaves at least one pixel."""
        side = 1
        for layer in reversed(self.layers):
            side = max(1, (side - 1) * layer.stride + layer.kernel - 2 * layer.padding)
        return side

    def features(self, width: float = 1.0) -> int:
        """Number of features of an image."""
        return scaled(self.hidden, width)

    def shapes(self, *, sobel: bool, input: int, width: float = 1.0) -> list[Shape]:
        """What each of `layers` gives for an image of `input` pixels.

        Raises:
            ValueError: a layer leaves nothing of it.
        """
        return list(_shapes(self.layers, Shape(input_channels(sobel), input), width))

    def parameters(self, *, sobel: bool, input: int, width: float = 1.0) -> int:
        """Number of parameters without a top layer; the statistics of batch normalisation are none.

        Raises:
            ValueError: a layer leaves nothing of `input` pixels.
        """
        shapes = self.shapes(sobel=sobel, input=input, width=width)
        flat, hidden = shapes[-1].channels * shapes[-1].side ** 2, self.features(width)
        return _parameters(self.layers, shapes, input_channels(sobel)) + (flat + 1) * hidden + (hidden + 1) * hidden


@dataclass(frozen=True)
class BlockKind:
    """A residual block: convolutions without a bias, each with batch normalisation, and a shortcut around them.

    Attributes:
        kernels: side in pixels of each convolution's filters.
        expansion: channels of the last convolution over those of the others.
    """

    kernels: tuple[int, ...]
    expansion: int


BASIC = BlockKind((3, 3), expansion=1)
BOTTLENECK = BlockKind((1, 3, 1), expansion=4)


class Block(NamedTuple):
    """One residual block of a network at a width."""

    incoming: int
    """Channels that come in."""
    planes: int
    """Channels of the convolutions before the last."""
    out: int
    """Channels that the block gives."""
    stride: int

    @property
    def convolves_shortcut(self) -> bool:
        """Whether the shortcut is a 1x1 convolution with batch normalisation: what comes in has another shape."""
        return self.stride != 1 or self.incoming != self.out


@dataclass(frozen=True)
class ResidualNetwork:
    """A stem, stages of residual blocks, and the mean over what is left of the image.

    Attributes:
        stem: layers before the first block.
        kind: of every block.
        counts: number of blocks of each stage; every stage but the first halves the side.
        planes: each stage's channels, before the kind's expansion, at width 1.
        least_input: smallest side in pixels of an input that a run may have. A choice, since padding lets any
            side through: the stride of the last stage, so that an image is at least one step of it.
        least_channels: of any layer, however narrow. With fewer, oneDNN (3.13 was tried) computes wrong gradients
            of a shortcut's 1x1 convolution of stride 2 in channels_last, and writes beyond its memory:
            uxlfoundation/oneDNN#6035.
    """

    stem: tuple[Layer, ...]
    kind: BlockKind
    counts: tuple[int, ...]
    planes: tuple[int, ...]
    least_input: int
    least_channels: int = 16

    def features(self, width: float = 1.0) -> int:
        """Number of features of an image: the channels of the last block."""
        return self.blocks(width)[-1].out

    def blocks(self, width: float = 1.0) -> list[Block]:
        """The blocks of all stages in their order."""
        planes = [scaled(plane, width, self.least_channels) for plane in self.planes]
        filters = [layer.filters for layer in self.stem if isinstance(layer, Convolution)]
        channels = scaled(filters[-1], width, self.least_channels)
        blocks = []
        for stage, (plane, count) in enumerate(zip(planes, self.counts, strict=True)):
            for index in range(count):
                stride = 2 if index == 0 and stage > 0 else 1
                blocks.append(Block(channels, plane, plane * self.kind.expansion, stride))
                channels = blocks[-1].out
        return blocks

    def shapes(self, *, sobel: bool, input: int, width: float = 1.0) -> list[Shape]:
        """What each layer of the stem and then each block gives for an image of `input` pixels.

        Raises:
            ValueError: a layer leaves nothing of it.
        """
        shapes = list(_shapes(self.stem, Shape(input_channels(sobel), input), width, self.least_channels))
        for block in self.blocks(width):
            shapes.append(Shape(block.out, (shapes[-1].side - 1) // block.stride + 1))
        return shapes

    def parameters(self, *, sobel: bool, input: int, width: float = 1.0) -> int:
        """Number of parameters without a top layer; the statistics of batch normalisation are none.

        Raises:
            ValueError: a layer of the stem leaves nothing of `input` pixels; otherwise it changes nothing.
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


Architecture = PlainNetwork | ResidualNetwork


def input_channels(sobel: bool) -> int:
    """What the first convolution sees of a pixel: two gradients of the grey image, or three colours."""
    return 2 if sobel else 3


def scaled(channels: int, width: float, least: int = 1) -> int:
    """`channels` of the whole network at a `width`, at least `least`."""
    return max(least, round(channels * width))


def _shapes(layers: Iterable[Layer], shape: Shape, width: float, least: int = 1) -> Iterator[Shape]:
    for layer in layers:
        side = (shape.side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        if side < 1:
            raise ValueError(f"{layer} leaves nothing of a side of {shape.side} pixels")
        channels = scaled(layer.filters, width, least) if isinstance(layer, Convolution) else shape.channels
        shape = Shape(channels, side)
        yield shape


def _parameters(layers: Iterable[Layer], shapes: Iterable[Shape], channels: int) -> int:
    """Of the layers, given the channels that come in and what each layer gives."""
    total = 0
    for layer, shape in zip(layers, shapes, strict=False):
        if isinstance(layer, Convolution):
            total += _convolution(channels, shape.channels, layer.kernel, layer.bias)
        channels = shape.channels
    return total


def _convolution(incoming: int, filters: int, kernel: int, bias: bool) -> int:
    """Parameters of a convolution and of the scale and shift of its batch normalisation."""
    return filters * (incoming * kernel**2 + bias + 2)


def _vgg16() -> PlainNetwork:
    layers: list[Layer] = []
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [*[Convolution(filters, 3, padding=1)] * count, Pool(2, 2)]
    return PlainNetwork(tuple(layers), hidden=4096, drops_first=False)


_STEM = (Convolution(64, 7, stride=2, padding=3, bias=False), Pool(3, 2, padding=1))
_PLANES = (64, 128, 256, 512)

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
    "resnet18": ResidualNetwork(_STEM, BASIC, (2, 2, 2, 2), _PLANES, least_input=32),
    "resnet50": ResidualNetwork(_STEM, BOTTLENECK, (3, 4, 6, 3), _PLANES, least_input=32),
}
"""Section 3.4's AlexNet and VGG-16, with batch normalisation, and table 1 of He et al. (2016)."""
