"""The section `train`: an epoch of SGD on the pseudo-labels (Eq. 1, section 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.model import ModelParams
from stages.parameters.types import Bool, Device, Float, Int, Precision, Section, Seed


class AugmentParams(Section):
    """How a training picture is changed: random resized crops and flips (section 3.4), and colours on request."""

    area: Annotated[Float, Field(gt=0, le=1)] = 0.08
    """Least area of a crop as a share of the picture's; the most is all of it."""
    flip: Annotated[Float, Field(ge=0, le=1)] = 0.5
    """Share of crops that are mirrored."""
    jitter: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Most that brightness, contrast and saturation change, each as a share of itself."""
    hue: Annotated[Float, Field(ge=0, le=0.5)] = 0.0
    """Most that the hue turns, in full turns of the colour circle."""
    grey: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of crops that become grey."""
    blur: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of crops that are blurred."""


class TrainParams(Section):
    """One epoch of training."""

    batch: Annotated[Int, Field(ge=2)]
    """Pictures a step (256 in the paper)."""
    lr: Annotated[Float, Field(gt=0)]
    """Step size of SGD (.05 in the paper)."""
    momentum: Annotated[Float, Field(ge=0, lt=1)]
    """Of the backbone's SGD (.9 in the paper)."""
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
    top_lr: Annotated[Float, Field(gt=0)] | None = None
    """Step size of the top layer's SGD, whatever the schedule; null: that of the backbone at each step. The top layer
    begins anew with each clustering, so that at the end of a cosine schedule it would not learn any more."""
    top_momentum: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    """Of the top layer's SGD, which begins anew with each clustering (none in the released code)."""
    top_dropout: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped before the top layer (none in the paper)."""
    nesterov: Bool = False
    """Nesterov's momentum wherever there is momentum (plain in the paper)."""
    shards: Annotated[Int, Field(ge=1)] = 1
    """Parts of a batch whose gradients are computed side by side, each with batch normalisation of its own."""
    input: Annotated[Int, Field(ge=1)] | None = None
    """Side in pixels of the training crops, of a network that takes any; null: `model.input`."""
    augment: AugmentParams = AugmentParams()


class TrainKeys(Section):
    """What `train` depends on."""

    model: ModelParams
    train: TrainParams
    seed: Seed
    device: Device
    precision: Precision
