"""One entry of `datasets`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.types import Bool, Int, Section, Text


class GenerateParams(Section):
    images: Annotated[Int, Field(ge=20)]
    """Pictures to draw, the same number of each class."""
    seed: Annotated[Int, Field(ge=0)] = 0


class DatasetParams(Section):
    """One entry of `datasets`; packing depends on nothing else."""

    name: Text
    path: Text
    """A folder of pictures, or a text file with a path a line; relative to the project's root."""
    size: Annotated[Int, Field(ge=8, le=4096)]
    """Short side in pixels to which every picture is resized once (256 in the paper)."""
    labels: Bool = True
    """Whether the first folder level is a class; used to measure, never to train."""
    chunk_mib: Annotated[Int, Field(ge=1, le=4096)] = 128
    generate: GenerateParams | None = None


MOST_ASPECT = 16
"""A picture longer than this many times its short side is rejected by `pack`."""
