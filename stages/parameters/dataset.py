"""One entry of `datasets`: the pictures of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.types import Bool, Int, Section, Seed, Text


class GenerateParams(Section):
    """`datasets.NAME.generate`: pictures that are drawn, as the demo's are."""

    images: Annotated[Int, Field(ge=20)]
    """Pictures to draw, the same number of each class."""
    seed: Seed = 0
    """What they are drawn from; another seed gives other pictures of the same classes."""


class DatasetParams(Section):
    """One entry of `datasets`; packing depends on nothing else."""

    name: Text
    """Its key below `datasets`, and the folder below data/images."""
    path: Text
    """A folder of pictures, or a text file with a path a line; relative to the project's root."""
    size: Annotated[Int, Field(ge=8, le=4096)]
    """Short side in pixels to which every picture is resized once (256 in the released code)."""
    labels: Bool = True
    """Whether the first folder level is a class (not where it is one folder alone, or dates); used to measure, never to
    train."""
    chunk_mib: Annotated[Int, Field(ge=1, le=4096)] = 128
    """Size of a file of packed pixels, in MiB."""
    generate: GenerateParams | None = None
    """Draw the pictures; None: they are at `path`."""
    classes: Text | None = None
    """A text file with a class a line: each line of the list at `path` then ends in a blank and the number of its
    class, from 0. None: lines are paths alone."""


class DatasetKeys(Section):
    """What `generate` and `pack` depend on."""

    dataset: DatasetParams
