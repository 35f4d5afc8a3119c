"""What the stage `baseline` depends on."""

from __future__ import annotations

from stages.parameters.final import FinalClusterParams
from stages.parameters.types import Int, Section, Seed


class _Clustering(Section):
    k: Int | None
    iterations: Int | None


class _Final(Section):
    cluster: FinalClusterParams


class BaselineKeys(Section):
    """The number of clusters, so that both are measured alike; null under a method without one."""

    cluster: _Clustering
    final: _Final
    seed: Seed
