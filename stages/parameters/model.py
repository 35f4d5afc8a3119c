"""The section `model`: the network (section 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Bool, Float, Int, Section


class ProjectionParams(Section):
    """What `recipe: deepcluster-v2` puts on top of the features; each null under the other recipe."""

    hidden: Annotated[Int, Field(ge=1)] | None = None
    """Units of its hidden layer (2,048 in Caron et al. 2020)."""
    dim: Annotated[Int, Field(ge=1)] | None = None
    """Dimensions of the unit vectors that it gives (128 there)."""


class ModelParams(Section):
    """The backbone; `stages.method.architectures` has the facts of each."""

    architecture: Literal[
        "alexnet", "vgg16", "resnet18", "resnet50", "resnet10", "convnet", "resnet10-cifar", "resnet18-cifar"
    ]
    """AlexNet and VGG-16 with batch normalisation as in section 3.4; the ResNets, and the small ones, beside them."""
    sobel: Bool
    """Fixed Sobel filters on grey in place of three colours (section 3.4)."""
    input: Annotated[Int, Field(ge=1)]
    """Side in pixels of the square crops that the network sees (224 in the paper)."""
    width: Annotated[Float, Field(gt=0, le=4)]
    """Factor on the number of channels of each layer (1 in the paper)."""
    projection: ProjectionParams = ProjectionParams()


class ModelKeys(Section):
    """What `checkpoint` and `export` depend on."""

    model: ModelParams
