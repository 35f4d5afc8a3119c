"""`knn`: the classes of pictures by those of their nearest neighbours, without training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import Pictures, ProtocolParams
from stages.parameters.types import Float, Int


class KnnParams(ProtocolParams):
    """Weighted nearest neighbours by cosine on the last layer's features; not in the paper."""

    protocol: Literal["knn"]
    train: Pictures
    """Data set whose pictures are the neighbours."""
    test: Pictures
    """Data set whose classes are told."""
    per_class: Annotated[Int, Field(ge=1)] | None = None
    """Neighbours of each class; null: all pictures."""
    k: tuple[Annotated[Int, Field(ge=1)], ...] = (10, 20, 200)
    """Numbers of neighbours, a result each."""
    temperature: Annotated[Float, Field(gt=0)] = 0.07
    """A neighbour of cosine c weighs exp(c / temperature)."""
    batch: Annotated[Int, Field(ge=1)] = 256
    """Pictures a forward pass."""
