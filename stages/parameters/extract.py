"""The section `extract`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Int, Section


class ExtractParams(Section):
    batch: Annotated[Int, Field(ge=1)]
    dtype: Literal["float32", "float16"]
    chunk_rows: Annotated[Int, Field(ge=1)]
