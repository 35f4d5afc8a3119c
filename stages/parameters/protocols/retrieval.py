"""`retrieval`: pictures of the same place, by R-MAC on Oxford5k or Paris6k (section 5.3, Table 5)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import ProtocolParams, SetName
from stages.parameters.types import Int, Text


class RetrievalParams(ProtocolParams):
    """One descriptor a picture, from the maxima of a layer's maps over regions."""

    layouts = ("landmarks",)
    needs_maps = True

    protocol: Literal["retrieval"]
    test: SetName
    """The set that is searched, of layout landmarks."""
    whiten: SetName
    """The other set, from whose regions the whitening is learnt."""
    layer: Text = "conv5"
    """Whose maps are taken: after the ReLU, before any pooling."""
    longest: Annotated[Int, Field(ge=8)] = 1024
    """Longest side in pixels to which pictures are resized."""
    levels: Annotated[Int, Field(ge=1)] = 3
    """Scales of the regions."""
    dimensions: Annotated[Int, Field(ge=1)] = 512
    """Most dimensions of a descriptor."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        return {"layer": (self.layer,)}

    def contradiction(self) -> str | None:
        same = self.test == self.whiten
        return f".whiten: the whitening is learnt on another set than {self.test}" if same else None

    def work(self, train: int, test: int) -> tuple[int, int]:
        return 0, train + test
