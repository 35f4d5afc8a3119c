"""`linear_probe`: linear classifiers on the layers of a frozen network (section 4.3, Table 1)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import OfPackedParams
from stages.parameters.types import Float, Int, Section, Text

TEN_CROPS = 10
"""Crops of a test picture (section 4.3)."""


class LayerRates(Section):
    """SGD of one layer's classifier; the paper chose both by cross-validation, and published neither."""

    lr: Annotated[Float, Field(gt=0)] | None = None
    """Step size of the first step; null: as of `follow`."""
    weight_decay: Annotated[Float, Field(ge=0)] | None = None
    """Factor of the l2 penalty; null: as of `follow`."""


class LinearProbeParams(OfPackedParams):
    """One linear layer on each of several layers, all fed by one forward pass a batch."""

    protocol: Literal["linear_probe"]
    layers: Annotated[tuple[Text, ...], Field(min_length=1)] = ("conv1", "conv2", "conv3", "conv4", "conv5")
    """conv1, conv2, ... after the ReLU and before any pooling; also pool, fc6, fc7 and features."""
    follow: Literal["released-code", "zhang"] = "released-code"
    """The authors' classifier and schedule, or those of Zhang et al., from whom the paper quotes other rows."""
    rates: dict[str, LayerRates] = Field(default_factory=dict)
    """By layer, what differs from `follow`."""
    epochs: Annotated[Int, Field(ge=1)] = 90
    """Passes over the training pictures."""
    drop_every: Annotated[Int, Field(ge=1)] = 40_000
    """Steps until Zhang's step size is divided by 10."""
    batch: Annotated[Int, Field(ge=2)] = 256
    """Pictures a step."""
    test_every: Annotated[Int, Field(ge=1)] = 1
    """Epochs between two tests; the last is tested in any case. The best of them is what the released code reports."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        return {"layers": self.layers, "rates": tuple(self.rates)}

    def contradiction(self) -> str | None:
        unused = [layer for layer in self.rates if layer not in self.layers]
        if unused:
            return f".rates: {unused[0]} is not one of its layers ({', '.join(self.layers)})"
        return super().contradiction()

    def work(self, train: int, test: int) -> tuple[int, int]:
        tests = math.ceil(self.epochs / self.test_every)
        return self.epochs * math.ceil(train / self.batch), self.epochs * train + tests * TEN_CROPS * test
