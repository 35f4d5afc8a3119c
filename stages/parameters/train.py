"""The section `train`: an epoch of SGD on the pseudo-labels (Eq. 1, section 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.model import ModelParams
from stages.parameters.types import Device, Float, Int, Precision, Section, Seed


class TrainParams(Section):
    """One epoch of training."""

    batch: Annotated[Int, Field(ge=2)]
    """Pictures a step (256 in the paper)."""
    lr: Annotated[Float, Field(gt=0)]
    """Step size of SGD (.05 in the paper)."""
    momentum: Annotated[Float, Field(ge=0, lt=1)]
    """Of the backbone's SGD (.9 in the paper); the top layer has none."""
    weight_decay: Annotated[Float, Field(ge=0)]
    """l2 penalty on the weights of backbone and top layer (1e-5 in the paper)."""
    dropout: Annotated[Float, Field(ge=0, lt=1)]
    """Share of units dropped before the hidden layers ("a dropout", section 3.4; .5 in the released code)."""
    passes: Annotated[Float, Field(gt=0)]
    """Draws a clustering, in multiples of the number of images (1 in the paper)."""
    sampling: Literal["uniform", "released-code"]
    """Uniform over pseudo-labels (section 3.3), or what the authors' sampler does in fact."""
    schedule: Literal["constant", "cosine"]
    """Constant step size as in the paper, or half a cosine over `horizon` epochs."""
    horizon: Annotated[Int, Field(ge=1)] | None
    """Epochs until a cosine schedule ends at zero; null where it is constant."""


class TrainKeys(Section):
    """What `train` depends on."""

    model: ModelParams
    train: TrainParams
    seed: Seed
    device: Device
    precision: Precision
