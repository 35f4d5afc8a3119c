"""The section `init`: weights that the first epoch starts from, in place of random ones (section 3.2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.parameters.model import ModelParams
from stages.parameters.types import Section, Seed, Text


class GivenParams(Section):
    """A file of weights."""

    weights: Text | None = None
    """Its path, relative to the project's root; null: weights are drawn at random. It may move: no result depends on
    where it lies."""
    sha256: Annotated[Text, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of its content, which `init` checks while it reads."""


class InitParams(GivenParams):
    """Where the first weights come from."""

    source: Text | None = None
    """What was published as that file, such as torchvision resnet50 IMAGENET1K_V2; for people."""


class InitKeys(Section):
    """What `init` depends on."""

    model: ModelParams
    init: GivenParams
    seed: Seed
