"""The section `model`: the network (section 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Bool, Float, Int, Section


class ModelParams(Section):
    architecture: Literal["alexnet", "vgg16", "resnet18", "resnet50"]
    sobel: Bool
    input: Annotated[Int, Field(ge=1)]
    width: Annotated[Float, Field(gt=0, le=4)]
