"""`compare`: runs side by side, for a sweep to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.results.run import Run
from stages.errors import Refusal
from stages.parameters.differences import as_values
from stages.parameters.keys import flat

MEASURES = ("nmi_labels", "ami_labels", "knn_accuracy", "loss", "largest_share")
"""Of the last clustering, and the loss of the last epoch that was trained."""

MEASURED = {"epochs": "int64"} | dict.fromkeys((*MEASURES, "minutes"), "float64")
"""Columns after those of the parameters, and their dtypes."""


def compare(*names: str, root: str | Path | None = None) -> pd.DataFrame:
    """Runs side by side: a row a run, index run, for `.T` where there are many parameters.

    Columns: the parameters that differ, by their dotted keys (as objects, missing where a run has no such key); epochs
    (finished, int64); nmi_labels, ami_labels, knn_accuracy, largest_share of the last clustering and loss of the last
    epoch (float64, missing where there is none); minutes (float64, of all stages that were run here, reruns included).

    Raises:
        Refusal: no run is named, or one of them has not begun.
    """
    if not names:
        raise Refusal("compare needs runs: `python -m pipeline runs` lists them")
    runs = [Run(name, root) for name in dict.fromkeys(names)]
    values = [_parameters(run) for run in runs]
    keys = list(dict.fromkeys(key for each in values for key in each))
    differing = [key for key in keys if any(each.get(key) != values[0].get(key) for each in values)]
    table = pd.DataFrame(
        {key: pd.Series([each.get(key) for each in values], dtype=object) for key in differing},
        index=range(len(runs)),
    )
    measured = pd.DataFrame([_measured(run) for run in runs]).astype(MEASURED)
    table = pd.concat([table, measured], axis=1)
    table.index = pd.Index([run.name for run in runs], name="run")
    return table


def _parameters(run: Run) -> dict[str, Any]:
    """What a user sets; of `epochs` the finished ones are told."""
    values = flat(as_values(run.params))
    hidden = ("run", "epochs")
    return {key: value for key, value in values.items() if key not in hidden and not key.startswith("revision.")}


def _measured(run: Run) -> dict[str, Any]:
    history = run.history()
    row: dict[str, Any] = {"epochs": len(run.epochs())}
    for measure in MEASURES:
        # The last row that was clustered, or trained: final/ has no loss, an epoch may keep the clusters before it.
        rows = history[history["loss" if measure == "loss" else "used"].notna()]
        row[measure] = rows[measure].iloc[-1] if len(rows) else None
    try:
        row["minutes"] = run.timings()["seconds"].sum() / 60
    except Refusal:
        row["minutes"] = None
    return row
