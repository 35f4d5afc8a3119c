"""The section `cluster`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Float, Int, Section


class PICParams(Section):
    """Power Iteration Clustering (section 3.2 names it; supplementary material of the paper)."""

    neighbours: Annotated[Int, Field(ge=1)]
    sigma: Annotated[Float, Field(gt=0)]
    alpha: Annotated[Float, Field(gt=0, lt=1)]
    iterations: Annotated[Int, Field(ge=1)]


class ClusterParams(Section):
    method: Literal["kmeans", "pic", "labels"]
    k: Annotated[Int, Field(ge=1)] | None
    iterations: Annotated[Int, Field(ge=1)] | None
    every: Annotated[Int, Field(ge=1)]
    pic: PICParams | None
