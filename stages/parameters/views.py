"""What a network sees of a picture beside its middle: crops that are drawn and changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.types import Float, Int, Section, Side


class AugmentParams(Section):
    """How a picture is changed: random resized crops and flips (section 3.4), and colours on request."""

    area: Annotated[Float, Field(gt=0, le=1)] = 0.08
    """Least area of a crop as a share of the picture's; the most is all of it."""
    flip: Annotated[Float, Field(ge=0, le=1)] = 0.5
    """Share of crops that are mirrored."""
    jitter: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Most that brightness, contrast and saturation change, each as a share of itself."""
    hue: Annotated[Float, Field(ge=0, le=0.5)] = 0.0
    """Most that the hue turns, in full turns of the colour circle."""
    grey: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of crops that become grey."""
    blur: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of crops that are blurred."""


class SmallCropsParams(Section):
    """Further crops of each drawn picture, which are smaller: "multi-crop" of Caron et al. 2020."""

    views: Annotated[Int, Field(ge=0)] = 0
    """How many (6 there); 0: none."""
    input: Side | None = None
    """Their side in pixels (96 there); null: half of the others', or the least that the network takes."""
    area: Annotated[Float, Field(gt=0, le=1)] = 0.05
    """Least area of one as a share of the picture's; the most is `area_most`."""
    area_most: Annotated[Float, Field(gt=0, le=1)] = 0.14
    """Most area of one as a share of the picture's."""
