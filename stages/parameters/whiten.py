"""The section `whiten`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.types import Int, Section


class WhitenParams(Section):
    dim: Annotated[Int, Field(ge=1)]
