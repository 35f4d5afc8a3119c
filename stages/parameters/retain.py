"""The section `retain`: which epochs stay whole on disk."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stages.parameters.types import Int, Section


def _all(value: Any) -> Any:
    return None if value == "all" else value


class RetainParams(Section):
    """Which epochs stay whole; the others lose features.zarr, whitened.zarr, trained/ and checkpoint.pt."""

    last: Annotated[Annotated[Int, Field(ge=1)] | None, BeforeValidator(_all)] = None
    """How many of the newest; `all` in the file, None here: every one."""
    every: Annotated[Int, Field(ge=0)] = 0
    """And each whose number is a multiple of it; 0: no others."""
