"""The section `extract`: features of one view of each picture (section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.model import ModelParams
from stages.parameters.types import Device, Int, Precision, Section


class ExtractParams(Section):
    """How features are computed and stored."""

    batch: Annotated[Int, Field(ge=1)]
    """Pictures that go through the network at a time."""
    dtype: Literal["float32", "float16"]
    """Of features.zarr; float16 halves the disk."""
    chunk_rows: Annotated[Int, Field(ge=1)]
    """Images in a chunk of features.zarr and whitened.zarr."""
    view: Literal["centre", "whole"] = "centre"
    """What the network sees of a picture: the square in its middle, or all of it, squashed to a square."""


class ExtractKeys(Section):
    """What `extract` depends on."""

    model: ModelParams
    extract: ExtractParams
    device: Device
    precision: Precision
