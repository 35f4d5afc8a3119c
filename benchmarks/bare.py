"""The ceiling: the pipeline's own network, naively, on batches that already lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.method.networks import Backbone, autocast, initialise, place, top_layer, trainable

DEVICE = torch.device("cpu")


def backbone() -> Backbone:
    """AlexNet with Sobel at 224 in the layout in which the stages hold it."""
    network = Backbone("alexnet", sobel=True, input=224)
    initialise(network, torch.Generator().manual_seed(0))
    return place(network, DEVICE)


class Inference:
    """The forward pass, as `extract` needs it."""

    def __init__(self, precision: str) -> None:
        self.network, self.precision = backbone().eval(), precision

    def __call__(self, batches: list[Tensor], count: int) -> None:
        """Features of `count` images, taken in turn from uint8 (B, 3, 224, 224) batches."""
        with torch.inference_mode(), autocast(DEVICE, self.precision):
            for batch in _taken(batches, count):
                self.network.features(batch)


class Training:
    """Forward, backward and both steps, as `train` needs them."""

    def __init__(self, precision: str, labels: int, lr: float) -> None:
        self.network, self.precision, self.labels = backbone().train(), precision, labels
        self.top = top_layer(self.network.dim, labels)
        self.optimizers = (
            torch.optim.SGD(trainable(self.network), lr, momentum=0.9, weight_decay=1e-5),
            torch.optim.SGD(self.top.parameters(), lr, weight_decay=1e-5),
        )

    def __call__(self, batches: list[Tensor], count: int) -> None:
        """Steps on `count` images, taken in turn from the batches."""
        for batch in _taken(batches, count):
            target = torch.arange(len(batch)) % self.labels
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            with autocast(DEVICE, self.precision):
                logits = self.top(self.network(batch))
            nn.functional.cross_entropy(logits.float(), target).backward()
            for optimizer in self.optimizers:
                optimizer.step()


def _taken(batches: list[Tensor], count: int):
    i = 0
    while count > 0:
        batch = batches[i % len(batches)]
        # A rest of one image joins nothing: batch statistics need two.
        yield batch[: max(2, min(count, len(batch)))]
        count -= len(batch)
        i += 1
