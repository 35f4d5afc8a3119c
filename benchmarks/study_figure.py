"""Draws the study at full length: NMI to the classes and to the epoch before (Fig. 2a, 2b), and the linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

LINES = {
    "as it is": ("DeepCluster", "tab:blue", "-"),
    "untrained": ("DeepCluster, untrained", "tab:blue", "--"),
    "deepcluster-v2": ("DeepCluster-v2", "tab:orange", "-"),
    "deepcluster-v2, untrained": ("DeepCluster-v2, untrained", "tab:orange", "--"),
}
"""What is drawn: name, colour and kind of line by variant."""


def figure_of(frame: pd.DataFrame, layers: Sequence[str]) -> matplotlib.figure.Figure:
    """The picture: means over the seeds; where there are several, from the least to the most of them is shaded.

    Args:
        frame: the lines of one length of the study, with its columns.
        layers: that were probed.
    """
    import matplotlib.pyplot as plt

    figure, (labels, previous, probe) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for variant, (name, colour, kind) in LINES.items():
        rows = frame[frame["variant"] == variant]
        if rows.empty:
            continue
        last = rows[rows["epoch"] == "final"]
        trained = kind == "-"
        if trained:
            for axes, measure in ((labels, "nmi_labels"), (previous, "nmi_previous")):
                of = rows[(rows["measure"] == measure) & (rows["epoch"] != "final")]
                values = of["value"].groupby(of["epoch"].astype(int)).agg(["mean", "min", "max"])
                axes.plot(values.index, values["mean"], marker=".", color=colour, label=name)
                axes.fill_between(values.index, values["min"], values["max"], color=colour, alpha=0.2, lw=0)
        groups = last.loc[last["measure"] == "nmi_labels", "value"].mean()
        if trained and len(last):
            labels.plot([values.index.max() + 1], [groups], marker="D", ms=5, color=colour)
        elif len(last):
            labels.axhline(groups, ls=kind, color=colour, label=name)
        accuracy = [last.loc[last["measure"] == layer, "value"].mean() for layer in layers]
        probe.plot(layers, accuracy, ls=kind, marker="o" if trained else ".", color=colour, label=name)
    labels.set(xlabel="epoch (diamond: final)", ylabel="NMI, clusters and classes", ylim=(0, None))
    previous.set(xlabel="epoch", ylabel="NMI, clusters at t-1 and t", ylim=(0, 1))
    probe.set(ylabel="linear probe, top-1 in %", xlabel="layer")
    for axes in (labels, previous, probe):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.legend(*labels.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
    return figure


def draw(frame: pd.DataFrame, layers: Sequence[str], path: Path) -> None:
    """Writes the picture of `figure_of` as a PNG."""
    import matplotlib.pyplot as plt

    figure = figure_of(frame, layers)
    # matplotlib writes its version and a date unless told otherwise.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
