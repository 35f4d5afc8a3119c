"""The ceiling: the pipeline's own network, naively, on batches that already lie in the memory of the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stages.method.networks import Backbone, autocast, initialise, place, top_layer, trainable

CPU = torch.device("cpu")


def backbone(device: torch.device, **shape: Any) -> Backbone:
    """AlexNet with Sobel in the layout in which the stages hold it; at 224 and of full width unless `shape` says so."""
    network = Backbone("alexnet", **({"sobel": True, "input": 224} | shape))
    initialise(network, torch.Generator().manual_seed(0))
    return place(network, device)


class Inference:
    """The forward pass, as `extract` needs it."""

    def __init__(self, precision: str, device: torch.device = CPU, **shape: Any) -> None:
        self.network, self.precision, self.device = backbone(device, **shape).eval(), precision, device

    def __call__(self, batches: list[Tensor], count: int) -> None:
        """Features of `count` images, taken in turn from uint8 (B, 3, 224, 224) batches."""
        with torch.inference_mode(), autocast(self.device, self.precision):
            for batch in _taken(batches, count):
                self.network.features(batch)


class Training:
    """Forward, backward and both steps, as `train` needs them."""

    def __init__(self, precision: str, labels: int, lr: float, device: torch.device = CPU, **shape: Any) -> None:
        self.network, self.precision, self.device = backbone(device, **shape).train(), precision, device
        self.labels = labels
        self.top = top_layer(self.network.dim, labels).to(device)
        self.optimizers = (
            torch.optim.SGD(trainable(self.network), lr, momentum=0.9, weight_decay=1e-5),
            torch.optim.SGD(self.top.parameters(), lr, weight_decay=1e-5),
        )

    def __call__(self, batches: list[Tensor], count: int) -> None:
        """Steps on `count` images, taken in turn from the batches."""
        for batch in _taken(batches, count):
            target = torch.arange(len(batch), device=self.device) % self.labels
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            with autocast(self.device, self.precision):
                logits = self.top(self.network(batch))
            nn.functional.cross_entropy(logits.float(), target).backward()
            for optimizer in self.optimizers:
                optimizer.step()


def _taken(batches: list[Tensor], count: int) -> Iterator[Tensor]:
    i = 0
    while count > 0:
        batch = batches[i % len(batches)]
        # A rest of one image joins nothing: batch statistics need two.
        yield batch[: max(2, min(count, len(batch)))]
        count -= len(batch)
        i += 1
