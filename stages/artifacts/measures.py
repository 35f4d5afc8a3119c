"""The measures of an epoch: one table behind clustering.json, metrics.json, history.csv and `run.history()`.

clustering.json holds those of the clustering, and what has more than one number; metrics.json is the epoch's row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TRAINING = {
    "loss": "float64",
    "loss_first": "float64",
    "loss_last": "float64",
    "accuracy": "float64",
    "images_trained": "Int64",
    "lr": "float64",
    "labels": "Int64",
}
"""Of the epoch's training, by pandas' dtype; none for final/. Losses are means a picture, `accuracy` and `labels`
are of the pseudo-labels."""

CLUSTERING = {
    "nmi_previous": "float64",
    "nmi_labels": "float64",
    "ami_labels": "float64",
    "purity": "float64",
    "reassigned": "float64",
    "knn_accuracy": "float64",
    "clusters": "Int64",
    "used": "Int64",
    "empty": "Int64",
    "singletons": "Int64",
    "largest_share": "float64",
    "entropy": "float64",
    "collapsed": "boolean",
    "objective": "float64",
    "iterations": "Int64",
    "rank": "Int64",
    "effective_rank": "float64",
    "variance_kept": "float64",
}
"""Of the clustering, by pandas' dtype; none in an epoch without reclustering."""

PIXELS = {
    "pixels_nmi": "nmi_labels",
    "pixels_ami": "ami_labels",
    "pixels_purity": "purity",
    "pixels_knn": "knn_accuracy",
}
"""Of k-means on small pictures, equal in all rows (float64), by their names in baseline.json."""

UNTRAINED = {
    "untrained_nmi": "nmi_labels",
    "untrained_ami": "ami_labels",
    "untrained_purity": "purity",
    "untrained_knn": "knn_accuracy",
}
"""Of the network before the run trained it, by their names in the row of epoch 1; of summary.json alone."""

HISTORY = {"epoch": "int64"} | TRAINING | CLUSTERING | dict.fromkeys(PIXELS, "float64")
"""Columns of history.csv in order, and their dtypes in `run.history()`."""


def epoch_row(
    epoch: int, training: Mapping[str, Any] | None = None, clustering: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """An epoch as one row.

    Args:
        training: the measures of its training; None for final/.
        clustering: content of its clustering.json, of whose objectives the last counts; None without one.
    """
    row: dict[str, Any] = {"epoch": epoch}
    if training is not None:
        row |= {column: training[column] for column in TRAINING}
    if clustering is None:
        return row | dict.fromkeys(CLUSTERING)
    # A clustering of an earlier version lacks the measures that have come since.
    row |= {column: clustering.get(column) for column in CLUSTERING}
    return row | {"objective": clustering["objective"][-1]}


def _named(names: Mapping[str, str], measured: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: (measured or {}).get(key) for name, key in names.items()}


def history_table(rows: Iterable[Mapping[str, Any]], baseline: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Rows of epochs as a table of the columns `HISTORY`, missing where a row has none.

    Args:
        baseline: content of baseline.json; None where it is not made yet.
    """
    import pandas as pd

    pixels = _named(PIXELS, baseline)
    return pd.DataFrame([{**row, **pixels} for row in rows], columns=list(HISTORY))


def summary(
    rows: Sequence[Mapping[str, Any]], images: int, baseline: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What two runs are compared by: sizes, the measures of the finished network, and the loss that it ended with.

    Beside them those of the network before training, where the run begins with epoch 1, and of k-means on pixels; the
    AMI of the last clustering that was trained on, made as that before training was, which `final` may make otherwise;
    and the lowest loss as a share of that of guessing, ln(labels).

    Args:
        rows: of the epochs, the last of final/.
        images: N.
        baseline: content of baseline.json.
    """
    final, trained = rows[-1], rows[:-1]
    own = ("clusters", "used", "nmi_labels", "ami_labels", "purity", "nmi_previous", "knn_accuracy", "largest_share")
    sizes = {"images": images, "epochs": final["epoch"] - 1}
    # A branch begins later, with a network that is trained already.
    first = trained[0] if trained and trained[0]["epoch"] == 1 else None
    beside = _named(UNTRAINED, first) | _named(PIXELS, baseline)
    labels, shares = None, list[float]()
    for row in trained:
        # An epoch without a clustering has the pseudo-labels of an earlier one.
        labels = row["labels"] or labels
        if labels is not None and labels > 1:
            shares.append(row["loss"] / math.log(labels))
    # Not the last: where a schedule falls to 0, a new top layer learns nothing, whatever the network had learnt before.
    lowest = min(shares, default=None)
    # An epoch that did not cluster anew has none.
    measured = [row["ami_labels"] for row in trained if row["ami_labels"] is not None]
    beside["last_ami"] = measured[-1] if measured else None
    ended = {"loss": trained[-1]["loss"] if trained else None, "labels": labels, "loss_to_chance": lowest}
    return sizes | {key: final[key] for key in (*own, "collapsed")} | beside | ended
