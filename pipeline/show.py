"""`show`: one cluster's pictures, and sheets of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.outputs import PICTURES, refuse_output, write_picture
from pipeline.results.epoch_files import Epoch
from pipeline.results.run import Run
from stages.artifacts.sheets import cluster_strips
from stages.errors import Refusal
from stages.method.sheet import COLUMNS, draw


def cluster_of(run: Run, epoch: Epoch, cluster: int) -> pd.DataFrame:
    """The row of `run.clusters` of one cluster.

    Raises:
        Refusal: no picture is in that cluster.
    """
    clusters = run.clusters(epoch)
    found = clusters[clusters["cluster"] == cluster]
    if found.empty:
        k = run.centroids(epoch).shape[-2]
        why = "is empty" if 0 <= cluster < k else f"is none of 0 to {k - 1}"
        raise Refusal(
            f"cluster {cluster} {why}: `python -m pipeline show --run {run.name} --epoch {epoch}` lists the largest"
        )
    return found


def members(run: Run, epoch: Epoch, cluster: int, most: int) -> pd.DataFrame:
    """A cluster's pictures, most typical first: image, path, distance."""
    assignments = run.assignments(epoch)
    found = assignments[assignments["cluster"] == cluster].nsmallest(most, "distance")
    found.insert(1, "path", run.images()["path"].to_numpy()[found["image"]])
    return found.drop(columns="cluster").reset_index(drop=True)


def save_sheet(run: Run, epoch: Epoch, clusters: pd.DataFrame, path: Path, most: int | None) -> None:
    """Draws clusters, a strip each, of at most `most` pictures; by default one line.

    Args:
        clusters: rows of `run.clusters`.
    """
    refuse_output(path, PICTURES)
    write_picture(path, draw(cluster_strips(run.packed(), clusters, run.assignments(epoch), most or COLUMNS)))
