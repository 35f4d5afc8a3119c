"""Sheets of packed pictures: clusters beside what is known of them, or any pictures beside a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from stages.artifacts.pictures import PackedImages
from stages.method.sheet import Strip, thumbnail


def cluster_strips(images: PackedImages, clusters: pd.DataFrame, assignments: pd.DataFrame, most: int) -> list[Strip]:
    """A strip a row of `clusters`: its number, size, commonest label and purity, and its most typical pictures.

    Args:
        clusters: see `stages.method.clusterings.clusters`.
        assignments: image, cluster, distance, a row per image.
        most: pictures of each, at most.
    """
    members = assignments[assignments["cluster"].isin(clusters["cluster"])].groupby("cluster")
    typical = {cluster: found.nsmallest(most, "distance")["image"] for cluster, found in members}
    return [picture_strip(images, _lines(row), typical[row["cluster"]]) for row in clusters.to_dict("records")]


def picture_strip(images: PackedImages, lines: Sequence[str], numbers: Iterable[int]) -> Strip:
    """The packed pictures with these numbers beside a text."""
    return Strip(lines, [thumbnail(images[int(image)]) for image in numbers])


def _lines(row: dict[Any, Any]) -> list[str]:
    lines = [f"cluster {row['cluster']}", f"{row['size']:,} picture{'s' * (row['size'] != 1)}"]
    # A cluster none of whose pictures has a label has no purity.
    if isinstance(row.get("label"), str):
        lines.append(f"{row['purity']:.0%} {row['label']}")
    return lines
