"""The section `final`: what holds in final/ alone, the clustering of the finished network."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from stages.parameters.extract import View
from stages.parameters.types import Bool, Int, Section, Side

P = TypeVar("P", bound=BaseModel)


class FinalExtractParams(Section):
    """In place of `extract`; null: as there."""

    view: View | None = None
    """What the network sees of a picture."""
    input: Side | None = None
    """Side in pixels of what it sees, of a network that takes any."""


class FinalWhitenParams(Section):
    """In place of `whiten`; null: as there."""

    dim: Annotated[Int, Field(ge=1)] | None = None
    """Dimensions that are kept."""
    scale: Bool | None = None
    """Whether each dimension is brought to the same variance."""


class FinalClusterParams(Section):
    """In place of `cluster`; null: as there."""

    k: Annotated[Int, Field(ge=1)] | None = None
    """Groups of k-means."""


class FinalParams(Section):
    """Groups that are to be looked at need not be made as those that are trained on; each null: as in the epochs.

    The keys of a section belong to the stage of its name, in final/.
    """

    extract: FinalExtractParams = FinalExtractParams()
    whiten: FinalWhitenParams = FinalWhitenParams()
    cluster: FinalClusterParams = FinalClusterParams()


def at_the_end(params: P, final: FinalParams) -> P:
    """The parameters that hold in final/: those that `final` gives in place of the sections' own.

    Args:
        params: of a run.
        final: its section `final`.
    """
    given = {name: section.model_dump(exclude_none=True) for name, section in final}
    sections = {name: getattr(params, name).model_copy(update=values) for name, values in given.items() if values}
    return params.model_copy(update=sections)
