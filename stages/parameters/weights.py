"""What the stage `weights` depends on: the network, and how it came about."""

from __future__ import annotations

from typing import Literal

from stages.parameters.model import ModelParams
from stages.parameters.types import Bool, Int, Recipe, Section, Text


class _Pictures(Section):
    name: Text | None


class _Clustering(Section):
    method: Literal["kmeans", "pic", "labels"]


class _Labels(Section):
    permuted: Bool


class _Given(Section):
    sha256: Text | None
    source: Text | None


class WeightsKeys(Section):
    """The network, and what a table says of how it was trained."""

    model: ModelParams
    epochs: Int
    dataset: _Pictures
    """What it was trained on; the name is None for a run without pictures."""
    recipe: Recipe
    cluster: _Clustering
    """Where its labels came from, and how it was trained on them."""
    pseudolabel: _Labels
    """Whether they were shuffled."""
    init: _Given
    """What it started from."""
