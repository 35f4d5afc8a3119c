"""The maps and features of named layers of a frozen network, all in one forward pass (section 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, PooledNetwork
from stages.method.named_layers import names, places
from stages.method.networks import Backbone, autocast

FC6_RELU = 3
"""Index in the classifier of AlexNet and VGG-16 of the ReLU after the first hidden layer."""


class FrozenLayers:
    """A network that is not trained any more, of which some layers are looked at.

    Args:
        network: set to evaluation mode and frozen, in place. It may be a folded one.
        architecture: the network's name in `ARCHITECTURES`.
        layers: names of `stages.method.named_layers.names`.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.

    Raises:
        Refusal: the network has no layer of such a name.
    """

    def __init__(self, network: Backbone, architecture: str, layers: Sequence[str], precision: str = "float32") -> None:
        known = names(ARCHITECTURES[architecture])
        for layer in layers:
            if layer not in known:
                raise Refusal(f"layers: {architecture} has no layer {layer!r}; it has {', '.join(known)}")
        self.network = network.eval().requires_grad_(False)
        self.layers = tuple(layers)
        self.precision = precision
        self._has_hidden = not isinstance(ARCHITECTURES[architecture], PooledNetwork)
        self._modules = {place.module: layer for layer, place in places(ARCHITECTURES[architecture]).items()}

    def __call__(self, pictures: NDArray[np.uint8]) -> dict[str, Tensor]:
        """The asked layers of (B, H, W, 3) uint8 pictures by name, in the order of the network; no layer is pooled.

        Returns:
            (B, C, h, w) float32 maps of conv1, conv2, ..., for which H and W may be any that leave a pixel, and (B, d)
            float32 features of the others, for which both are the network's `input`. They lie on its device and may
            be an input of what is trained.
        """
        device = next(self.network.parameters()).device
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
        with torch.no_grad(), autocast(device, self.precision):
            return dict(self._asked(batch))

    def _asked(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The asked layers of (B, 3, H, W) uint8 images, until there are no more of them."""
        waiting = set(self.layers)
        for name, value in self._all(batch):
            if name in waiting:
                yield name, value.float()
            waiting.discard(name)
            if not waiting:
                return

    def _all(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every named layer in order.

        What works in place, the ReLUs, does so on the output of a batch normalisation, a linear layer or a sum, so
        none changes a value that was yielded before.
        """
        value = self.network.input(batch)
        for index, module in enumerate(self.network.convolutions):
            value = module(value)
            if index in self._modules:
                yield self._modules[index], value
        if not self._has_hidden:
            value = self.network.classifier(value)
            yield "pool", value
        else:
            yield "pool", value.flatten(1)
            value = self.network.classifier[: FC6_RELU + 1](value)
            yield "fc6", value
            value = self.network.classifier[FC6_RELU + 1 :](value)
            yield "fc7", self.network.activation(value)
        yield "features", value
