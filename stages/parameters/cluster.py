"""The section `cluster`: k-means (Eq. 2), or what stands in its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.types import Bool, Device, Float, Int, Section, Seed


class PICParams(Section):
    """Power Iteration Clustering (section 3.2 names it); each null under another method."""

    neighbours: Annotated[Int, Field(ge=1)] | None
    """Nearest other images that an image is joined to in the graph (5 in the released code)."""
    sigma: Annotated[Float, Field(gt=0)] | None
    """Of the Gaussian kernel exp(-d / sigma^2) on squared distances d (.2 in the released code)."""
    alpha: Annotated[Float, Field(gt=0, lt=1)] | None
    """Weight of the graph against the uniform vector in each power iteration (.001 in the released code)."""
    iterations: Annotated[Int, Field(ge=1)] | None
    """Power iterations (200 in the released code)."""


class ClusteringParams(Section):
    """How one epoch is clustered; what the method does not use is null."""

    method: Literal["kmeans", "pic", "labels"]
    """k-means, Power Iteration Clustering, or the classes (the supervised row of Table 1)."""
    k: Annotated[Int, Field(ge=1)] | None
    """Clusters of k-means (10,000 for ImageNet in the paper)."""
    iterations: Annotated[Int, Field(ge=1)] | None
    """Of k-means, at most (20 in the released code)."""
    spherical: Bool = False
    """Whether centroids have unit length, so that k-means goes by the cosine; false under another method."""
    heads: Annotated[Int, Field(ge=1)] = 1
    """In `recipe: deepcluster-v2`, how many clusterings there are, each of k clusters (3 in Caron et al. 2020); else
    1."""
    pic: PICParams


class ClusterParams(ClusteringParams):
    """How epochs are clustered, and which."""

    every: Annotated[Int, Field(ge=1)]
    """Epochs between two clusterings (1 in the paper)."""
    counted_from: Annotated[Int, Field(ge=1)] | None = None
    """An epoch that clusters anew, from which `every` counts; null: the run's first. A branch has its parent's."""


class ClusterKeys(Section):
    """What `cluster` depends on."""

    cluster: ClusteringParams
    seed: Seed
    device: Device
