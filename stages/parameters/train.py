"""The section `train`: an epoch of SGD on the pseudo-labels (Eq. 1, section 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.method.architectures import ARCHITECTURES
from stages.parameters.model import ModelParams
from stages.parameters.types import Bool, Device, Float, Int, Precision, Section, Seed, Side
from stages.parameters.views import AugmentParams, SmallCropsParams


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
    sampling: Literal["uniform", "released-code", "shuffled"]
    """Uniform over pseudo-labels (section 3.3), what the authors' sampler does in fact, or every picture equally often,
    as in Caron et al. 2020."""
    schedule: Literal["constant", "cosine"]
    """Constant step size as in the paper, or half a cosine over `horizon` epochs."""
    horizon: Annotated[Int, Field(ge=1)] | None
    """Epochs until a cosine schedule ends at zero; null where it is constant."""
    top_lr: Annotated[Float, Field(gt=0)] | None = None
    """Step size of the top layer's SGD, whatever the schedule; null: that of the backbone at each step. A new
    top layer would not learn any more at the end of a cosine schedule."""
    top_momentum: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    """Of the top layer's SGD, which begins anew in each epoch (none in the released code)."""
    top_dropout: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped before the top layer (none in the paper)."""
    top_kept: Bool = False
    """Whether the top layer goes on with its weights of the epoch before, if that was kept and has as many
    pseudo-labels (new in the paper, since clusters have other numbers after each clustering)."""
    nesterov: Bool = False
    """Nesterov's momentum wherever there is momentum (plain in the paper)."""
    shards: Annotated[Int, Field(ge=1)] = 1
    """Parts of a batch whose gradients are computed side by side, each with batch normalisation of its own."""
    input: Side | None = None
    """Side in pixels of the training crops, of a network that takes any; null: `model.input`."""
    views: Annotated[Int, Field(ge=1)] = 1
    """Crops of each drawn picture that stand in its batch (2 in Caron et al. 2020)."""
    temperature: Annotated[Float, Field(gt=0)] | None = None
    """Of the softmax over centroids in `recipe: deepcluster-v2` (.1 in Caron et al. 2020); else null."""
    small: SmallCropsParams = SmallCropsParams()
    augment: AugmentParams = AugmentParams()

    def sides(self, model: ModelParams) -> tuple[int, int]:
        """Sides in pixels of the training crops, and of the small ones."""
        side = self.input or model.input
        least = ARCHITECTURES[model.architecture].least_input
        return side, self.small.input or max(side // 2, least)


class TrainKeys(Section):
    """What `train` depends on."""

    model: ModelParams
    train: TrainParams
    seed: Seed
    device: Device
    precision: Precision
