"""The section `extract`: features of each picture (section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.model import ModelParams
from stages.parameters.types import Device, Int, Precision, Section, Side
from stages.parameters.views import AugmentParams

View = Literal["centre", "whole", "five-crop"]


class ExtractParams(Section):
    """How features are computed and stored."""

    batch: Annotated[Int, Field(ge=1)]
    """Pictures that go through the network at a time."""
    dtype: Literal["float32", "float16"]
    """Of features.zarr; float16 halves the disk."""
    chunk_rows: Annotated[Int, Field(ge=1)]
    """Images in a chunk of features.zarr and whitened.zarr."""
    view: View = "centre"
    """What the network sees of a picture: the square in its middle; all of it, squashed to a square; or five crops,
    four corners and the middle, whose features are averaged."""
    input: Side | None = None
    """Side in pixels of what it sees then, of a network that takes any; null: `model.input`."""
    views: Annotated[Int, Field(ge=1)] = 1
    """In `recipe: deepcluster-v2`, how many views of each picture there are features of: that of `view`, and random
    crops; else 1."""
    augment: AugmentParams = AugmentParams()
    """Of those crops: what `train.augment` says, filled in where it is used."""

    def side(self, model: ModelParams) -> int:
        """Side in pixels of what the network sees."""
        return self.input or model.input


class ExtractKeys(Section):
    """What `extract` depends on."""

    model: ModelParams
    extract: ExtractParams
    device: Device
    precision: Precision
