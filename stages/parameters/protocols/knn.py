"""`knn`: the classes of pictures by those of their nearest neighbours, without training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import OfPackedParams
from stages.parameters.types import Float, Int


class KnnParams(OfPackedParams):
    """Weighted nearest neighbours by cosine on the last layer's features; not in the paper."""

    protocol: Literal["knn"]
    k: Annotated[tuple[Annotated[Int, Field(ge=1)], ...], Field(min_length=1)] = (10, 20, 200)
    """Numbers of neighbours, a result each."""
    temperature: Annotated[Float, Field(ge=0.002)] = 0.07
    """A neighbour of cosine c weighs exp(c / temperature), which a smaller one would take beyond float64."""
    batch: Annotated[Int, Field(ge=1)] = 256
    """Pictures a forward pass."""

    def work(self, train: int, test: int) -> tuple[int, int]:
        return 0, train + test
