"""Tables computed from assignments: what the clusters hold, and how they go over into those of another epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def clusters(assignments: pd.DataFrame, labels: NDArray[np.int32], classes: list[str]) -> pd.DataFrame:
    """A row per non-empty cluster; largest first.

    Columns: cluster (int32), size (int64), mean_distance (float32); where there are labels: label (name of the class of
    most of its images) and purity (their share, float64).

    Args:
        assignments: image, cluster, distance, a row per image.
        labels: (N,) the class of each image, -1 unknown.
        classes: names of the classes.
    """
    frame = assignments.assign(label=labels)
    grouped = frame.groupby("cluster")
    table = pd.DataFrame({"size": grouped.size(), "mean_distance": grouped["distance"].mean()})
    labelled = frame[frame["label"] >= 0]
    if len(labelled):
        counts = labelled.groupby(["cluster", "label"]).size()
        best = counts.groupby("cluster").idxmax().map(lambda pair: pair[1])
        table["label"] = named(best, classes)
        table["purity"] = counts.groupby("cluster").max() / counts.groupby("cluster").sum()
    return table.sort_values("size", ascending=False, kind="stable").reset_index()


def transitions(old: pd.Series[Any], new: pd.Series[Any]) -> pd.DataFrame:
    """A row per pair of clusters that share images; the largest first.

    Columns: from, to (int32), images (int64), share_from, share_to (float64), kind; see `Run.transitions`.

    Args:
        old, new: (N,) the cluster of each image in two epochs.
    """
    pairs = pd.DataFrame({"from": old, "to": new})
    table = pairs.groupby(["from", "to"]).size().rename("images").reset_index()
    table["share_from"] = table["images"] / table.groupby("from")["images"].transform("sum")
    table["share_to"] = table["images"] / table.groupby("to")["images"].transform("sum")
    most_from, most_to = table["share_from"] > 0.5, table["share_to"] > 0.5
    kind = np.select([most_from & most_to, most_to, most_from], ["kept", "split", "merged"], "leaked")
    table["kind"] = kind
    strong = table.assign(strong=table["kind"] != "leaked").groupby("from")["strong"].transform("any")
    largest = table.groupby("from")["images"].transform("max") == table["images"]
    first = ~table[largest].duplicated("from")
    table.loc[first.index[first & ~strong[largest]], "kind"] = "died"
    return table.sort_values("images", ascending=False, kind="stable").reset_index(drop=True)


def named(labels: pd.Series[Any], classes: list[str]) -> pd.Series[Any]:
    """Class names by number, missing for -1; as objects, since a folder's name may be no text."""
    names = [classes[label] if label >= 0 else None for label in labels]
    return pd.Series(names, index=labels.index, dtype=object)
