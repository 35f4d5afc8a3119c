"""The section `whiten`: "PCA-reduced to 256 dimensions, whitened and l2-normalized" (section 3.4)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.types import Bool, Device, Int, Section


class WhitenParams(Section):
    """What is kept of the features."""

    dim: Annotated[Int, Field(ge=1)]
    """Dimensions that are kept (256 in the paper)."""
    scale: Bool = True
    """Whether each dimension is brought to the same variance, as whitening does; false: PCA and unit length alone."""


class WhitenKeys(Section):
    """What `whiten` depends on."""

    whiten: WhitenParams
    device: Device
