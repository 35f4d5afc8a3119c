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


LEAST_INPUT = {"alexnet": 63, "vgg16": 32, "resnet18": 32, "resnet50": 32}
"""Smallest `model.input` for which each layer leaves at least one pixel."""


def feature_width(model: ModelParams) -> int:
    """Number of features that the network gives per image."""
    full = {"alexnet": 4096, "vgg16": 4096, "resnet18": 512, "resnet50": 2048}[model.architecture]
    return scaled(full, model.width)


def scaled(channels: int, width: float) -> int:
    """`channels` of the paper's network at a `width`, at least 1."""
    return max(1, round(channels * width))
