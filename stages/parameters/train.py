"""The section `train`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Float, Int, Section


class TrainParams(Section):
    batch: Annotated[Int, Field(ge=2)]
    lr: Annotated[Float, Field(gt=0)]
    momentum: Annotated[Float, Field(ge=0, lt=1)]
    weight_decay: Annotated[Float, Field(ge=0)]
    dropout: Annotated[Float, Field(ge=0, lt=1)]
    passes: Annotated[Float, Field(gt=0)]
    sampling: Literal["uniform", "released-code"]
    schedule: Literal["constant", "cosine"]
    horizon: Annotated[Int, Field(ge=1)] | None
