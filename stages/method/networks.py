"""The convnets f_theta of the paper (section 3.4) in torch, built from `stages.method.architectures`.

A backbone maps uint8 images to features. `Backbone.features` gives those that are clustered, from the last hidden
layer before its ReLU; `Backbone.forward` applies the ReLU too, for the top layer g_W. With a projection both give the
unit vectors that DeepCluster-v2 clusters and compares with centroids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, Layer, Pool, PooledNetwork, Shape, input_channels
from stages.method.sobel import Normalise, Sobel

TOP_STD = 0.01
"""Standard deviation of the initial weights of linear layers."""


class Dropout(nn.Dropout):
    """torch's, which takes no generator of its own: this one draws from `generator` where it has one."""

    generator: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.generator is None or not self.training or not self.p:
            return super().forward(input)
        kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=self.generator)
        return input * kept / (1 - self.p)


class Projection(nn.Sequential):
    """Two layers from features to vectors of unit length, as in SwAV and DeepCluster-v2 (Caron et al. 2020).

    Args:
        features, hidden, dim: units that come in, in between, and out.
    """

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        first = nn.Linear(features, hidden)
        super().__init__(first, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))

    def forward(self, input: Tensor) -> Tensor:
        # In float32 whatever the precision of the layers: a cosine is divided by a small temperature.
        return nn.functional.normalize(super().forward(input).to(self[0].weight.dtype))


class Backbone(nn.Module):
    """A network without its top layer: fixed preprocessing, convolutions, and the two hidden layers if it has any.

    Args:
        architecture: a name of `ARCHITECTURES`.
        sobel: True: the network sees two gradients of the grey image; False: three normalised colours.
        input: side in pixels of the square images.
        width: factor on the number of channels of each layer.
        dropout: share of units dropped in training, before both hidden layers (VGG-16: before the second alone).
        top_dropout: share of features that are dropped in training, before the top layer or the projection.
        projection: units of its hidden layer and dimensions that it gives; None for none.

    Attributes:
        dim: number of features per image, as `features` gives them.

    Raises:
        KeyError: no architecture has that name.
        ValueError: `input` pixels are too few for one of the layers.
    """

    def __init__(
        self,
        architecture: str,
        *,
        sobel: bool,
        input: int,
        width: float = 1.0,
        dropout: float = 0.5,
        top_dropout: float = 0.0,
        projection: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        plan = ARCHITECTURES[architecture]
        shapes = plan.shapes(sobel=sobel, input=input, width=width)
        self.input = Sobel() if sobel else Normalise()
        self.dim = plan.features(width)
        if isinstance(plan, PooledNetwork):
            layers = _modules(plan.stem, shapes[: len(plan.stem)], input_channels(sobel))
            if plan.counts:
                # Imported here: torchvision takes a second to load, and networks without blocks do not need it.
                from stages.method.residual import residual_blocks

                layers += residual_blocks(plan, width)
            self.convolutions = nn.Sequential(*layers)
            self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            # This kind has its last ReLU before the pooling, so features and forward are the same.
            last: nn.Module = nn.Identity()
        else:
            self.convolutions = nn.Sequential(*_modules(plan.layers, shapes, input_channels(sobel)))
            channels, side = shapes[-1]
            self.classifier = nn.Sequential(
                nn.Flatten(),
                Dropout(dropout) if plan.drops_first else nn.Identity(),
                nn.Linear(channels * side * side, self.dim),
                nn.ReLU(inplace=True),
                Dropout(dropout),
                nn.Linear(self.dim, self.dim),
            )
            last = nn.ReLU()
        self.activation = nn.Sequential(last, Dropout(top_dropout))
        self.projection: Projection | None = None
        if projection is not None:
            self.projection = Projection(self.dim, *projection)
            self.dim = projection[1]

    def features(self, images: Tensor) -> Tensor:
        """(B, dim) features to cluster of uint8 (B, 3, input, input) images: before the last ReLU (section 3.2).

        With a projection, vectors of unit length.

        Raises:
            Refusal: pixels are no bytes. Those between 0 and 1 would give other features, and none would notice.
        """
        if images.dtype != torch.uint8:
            raise Refusal(
                f"the network takes bytes, uint8 from 0 to 255, and not {images.dtype}: of pixels between 0 and 1 give "
                "`(images * 255).round().to(torch.uint8)`"
            )
        features: Tensor = self.classifier(self.convolutions(self.input(images)))
        if self.projection is not None:
            features = self.projection(self.activation(features))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """(B, dim) input of the top layer for uint8 (B, 3, input, input) images: `features` after the last ReLU."""
        features = self.features(images)
        if self.projection is None:
            features = self.activation(features)
        return features


def fold(network: Backbone) -> Backbone:
    """Merges each batch normalisation into the convolution before it, in place, and returns the network.

    For a network in evaluation mode, whose batch normalisation is a fixed scale and shift: it gives the same features
    up to rounding, in less time, and can no longer be trained.
    """
    for module in list(network.modules()):
        for (name, conv), (following, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, following, nn.Identity())
    return network


def _modules(layers: Sequence[Layer], shapes: Sequence[Shape], channels: int) -> list[nn.Module]:
    """The torch modules of `layers`, which see `channels` channels and give `shapes`."""
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
    """Draws all weights from normal distributions with mean 0 (section 3.2), in place.

    The standard deviation is sqrt(2 / (kernel^2 * output channels)) for convolutions and `TOP_STD` for linear layers;
    in a projection, which the paper lacks, sqrt(1 / (3 * inputs)), that of torch. Biases start at 0, and batch
    normalisation as the identity.
    """
    projections = [module for module in network.modules() if isinstance(module, Projection)]
    projected = {module for projection in projections for module in projection}
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                module.weight.normal_(0, math.sqrt(2 / fan), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                assert module.weight is not None and module.bias is not None
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                std = (3 * module.in_features) ** -0.5 if module in projected else TOP_STD
                module.weight.normal_(0, std, generator=generator)
                module.bias.zero_()


def settle(network: Backbone, part: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives the batch normalisation of `part` the mean statistics of some batches of pictures, in place.

    Args:
        part: the network, or a module of it.
        batches: each (B, 3, input, input) uint8, B > 1.
    """
    norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        # None takes the mean over all batches, in place of one that forgets.
        norm.train().momentum = None
    with torch.no_grad():
        for pictures in batches:
            network.features(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train()


def top_layer(dim: int, labels: int) -> nn.Linear:
    """A new classifier g_W (section 3.1) from `dim` features to `labels` logits, drawn from torch's global state."""
    top = nn.Linear(dim, labels)
    with torch.no_grad():
        top.weight.normal_(0, TOP_STD)
        top.bias.zero_()
    return top


class Centroids(nn.Module):
    """The classifier of DeepCluster-v2: the fixed centroids of each clustering, by the cosine (Caron et al. 2020).

    Args:
        centroids: of each clustering, (k, dim) rows of unit length; k may differ.
        temperature: that the cosines are divided by.
    """

    def __init__(self, centroids: Sequence[Tensor], temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        for head, rows in enumerate(centroids):
            self.register_buffer(str(head), rows)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Of each clustering, (B, k) logits of (B, dim) unit vectors."""
        with torch.autocast(features.device.type, enabled=False):
            return [features @ rows.T / self.temperature for rows in self.buffers()]


def trainable(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that SGD changes."""
    return (parameter for parameter in network.parameters() if parameter.requires_grad)


def place(network: Backbone, device: torch.device) -> Backbone:
    """Moves the network to `device`, in the layout channels_last, in which convolutions are faster on CPU and GPU."""
    moved: Backbone = network.to(device).to(memory_format=torch.channels_last)
    return moved


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A context in which layers compute in bfloat16 where `precision` is `bf16`; weights stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
