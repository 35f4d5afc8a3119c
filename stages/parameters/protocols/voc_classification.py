"""`voc_classification`: multi-label classification on PASCAL VOC 2007 with a fine-tuned network (Tables 2 and 3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import ProtocolParams, Split
from stages.parameters.types import Float, Int


class VocClassificationParams(ProtocolParams):
    """The network with new linear layers, trained on pictures that show several classes."""

    protocol: Literal["voc_classification"]
    train: Split
    """Pictures to train on; trainval in the paper."""
    test: Split
    """Pictures to test on; test in the paper, val to choose settings."""
    layers: Literal["fc6-8", "all"]
    """What is trained: the linear layers alone, or the convolutions too."""
    follow: Literal["pytorch", "caffe"] = "pytorch"
    """The authors' own port, or the Caffe code that the paper names; they differ in what is drawn anew, in crops, in
    the step size and in the number of iterations."""
    batchnorm: Literal["affine", "frozen"] = "affine"
    """Whether scale and shift of batch normalisation are trained (72.0 in the released README) or not (70.4)."""
    lr: Annotated[Float, Field(gt=0)] | None = None
    """Step size of the first step; null: that of `follow`."""
    halve_every: Annotated[Int, Field(ge=1)] | None = None
    """Iterations after which the step size is halved; null: that of `follow`."""
    weight_decay: Annotated[Float, Field(ge=0)] = 1e-6
    """Factor of the l2 penalty."""
    iterations: Annotated[Int, Field(ge=1)] | None = None
    """Steps of SGD; null: those of `follow`, 80,000 or 150,000."""
    batch: Annotated[Int, Field(ge=2)] = 16
    """Pictures a step."""
    crops: Annotated[Int, Field(ge=1)] = 10
    """Crops of a test picture, drawn as for training, whose logits are added."""
