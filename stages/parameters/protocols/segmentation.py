"""`segmentation`: a fully convolutional network on PASCAL VOC 2012 (section 4.4, Tables 2 and 3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import FineTunedParams
from stages.parameters.types import Float, Int, Text


class SegmentationParams(FineTunedParams):
    """FCN-32s with the settings of its AlexNet, which the paper cites; Colorization's are other numbers of these."""

    lists = "Segmentation"
    needs_hidden = True
    needs_maps = True

    protocol: Literal["segmentation"]
    frozen: tuple[Text, ...] = ()
    """Convolutions that are not trained under `all`."""
    fc: Literal["run", "random"] = "run"
    """Whether fc6 and fc7 start from the run's or are drawn anew."""
    padding: Annotated[Int, Field(ge=0)] = 100
    """Pixels of zeros around a picture, in place of the first convolution's own."""
    pictures: Annotated[Int, Field(ge=1)] = 20
    """Pictures a step, gone through one after the other."""
    lr: Annotated[Float, Field(gt=0)] = 1e-4
    """Step size of the first steps."""
    drop_every: Annotated[Int, Field(ge=1)] | None = None
    """Steps after which it is divided by 10; null: it stays (50,000 in Colorization's variant)."""
    iterations: Annotated[Int, Field(ge=1)] = 100_000
    """Steps of SGD (150,000 in Colorization's variant)."""
    weight_decay: Annotated[Float, Field(ge=0)] = 5e-4
    """Factor of the l2 penalty on all weights but biases."""
    dropout: Annotated[Float, Field(ge=0, lt=1)] = 0.5
    """Share of units of fc6 and fc7 that are dropped in training."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        return {"frozen": self.frozen}

    def work(self, train: int, test: int) -> tuple[int, int]:
        return self.iterations, self.iterations * self.pictures + test
