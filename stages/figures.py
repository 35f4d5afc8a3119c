"""Draws the curves of section 4.1 (Fig. 2a, 2b) and the clusters of the finished network.

reads   history.csv, final/assignments.parquet, pack.json (pixels.zarr)
writes  figures/curves.png     NMI and AMI to labels, NMI between epochs, loss, share of images reassigned
        figures/clusters.png   the largest clusters: size, purity, commonest label, most typical images
"""

import io
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from stages.artifacts.pictures import PackedImages
from stages.artifacts.sheets import cluster_strips
from stages.artifacts.tables import read_parquet
from stages.artifacts.writing import write_bytes
from stages.method import clusterings, sheet
from stages.parameters.types import NoKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

matplotlib.use("Agg")

REVISION = 4

ROWS = 12
"""Clusters on the sheet, at most."""

AGREEMENT = {
    "nmi_labels": "NMI, clusters and labels",
    "ami_labels": "AMI, clusters and labels",
    "nmi_previous": "NMI, clusters at t-1 and t",
}

LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (-0.16, 1),
    "ncols": 2,
    "frameon": False,
    "fontsize": "small",
    "borderpad": 0,
    "columnspacing": 0.8,
    "handlelength": 1.4,
    "handletextpad": 0.4,
}
"""Above a panel, where no line is."""


def figures(job: Job[NoKeys]) -> None:
    import matplotlib.pyplot as plt

    folder = job.output("figures")
    folder.mkdir(parents=True, exist_ok=True)
    figure = curves(pd.read_csv(job.input("history")))
    buffer = io.BytesIO()
    # matplotlib writes its version and a date unless told otherwise.
    figure.savefig(buffer, dpi=120, metadata={"Software": None})
    plt.close(figure)
    write_bytes(folder / "curves.png", buffer.getbuffer())
    buffer = io.BytesIO()
    Image.fromarray(clusters(job.packed(), read_parquet(job.input("assignments")))).save(buffer, "PNG")
    write_bytes(folder / "clusters.png", buffer.getbuffer())


def curves(history: pd.DataFrame) -> "matplotlib.figure.Figure":
    """What was measured by epoch, in three panels; final/ stands apart, since it may make groups otherwise."""
    import matplotlib.pyplot as plt

    first, last = int(history["epoch"].iloc[0]), int(history["epoch"].iloc[-1])
    # The last row is of final/: beside the epochs, however many there are.
    end = last + (last - first) // 25
    history = history.assign(epoch=[*history["epoch"].iloc[:-1], end])
    figure, (agreement, loss, reassigned) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for column, label in AGREEMENT.items():
        _draw(agreement, history, column, label=label)
    # The same in all rows: what the groups must be better than.
    pixels = history["pixels_ami"].dropna()
    if len(pixels):
        agreement.axhline(pixels.iloc[-1], ls="--", color="tab:orange", label="AMI, k-means on pixels")
    least = min(0, history[list(AGREEMENT)].min().min() - 0.01)
    agreement.set(ylabel="agreement of clusterings", ylim=(least, None))
    if history["loss"].notna().any():
        _draw(loss, history, "loss", color="tab:red", label="loss")
        # Constant and equal for all pseudo-labels, the network has learnt nothing yet: cross entropy ln k.
        labels = history["labels"].dropna()
        if len(labels):
            chance = np.log(float(labels.iloc[-1]))
            loss.axhline(chance, ls="--", color="tab:gray", label="chance: ln k")
            # What differs by a thousandth of it must not look like a fall.
            loss.set_ylim(min(loss.get_ylim()[0], 0.9 * chance), None)
    loss.set(ylabel="loss on the pseudo-labels")
    _draw(reassigned, history, "reassigned", color="tab:purple")
    reassigned.set(ylabel="share of images reassigned", ylim=(0, 1.02))
    figure.get_layout_engine().set(w_pad=0.15)  # type: ignore[union-attr, call-arg]
    near = max(1, (last - first) // 8)
    ticks = [tick for tick in MaxNLocator(6, integer=True).tick_values(first, last) if first <= tick <= end - near]
    for axes in (agreement, loss, reassigned):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.set(xlabel="epoch", xlim=(first - 0.5, end + 0.5))
        axes.set_xticks([*ticks, end], [*(f"{tick:.0f}" for tick in ticks), "final"])
        if axes.get_legend_handles_labels()[0]:
            axes.legend(**LEGEND)
    return figure


def _draw(axes: "matplotlib.axes.Axes", history: pd.DataFrame, column: str, **how: Any) -> None:
    """A measure by epoch, where there is any of it: a line of the epochs, a diamond for final/."""
    values = history[column]
    if not values.notna().any():
        return
    (line,) = axes.plot(history["epoch"].iloc[:-1], values.iloc[:-1], marker=".", **how)
    axes.plot(history["epoch"].iloc[-1:], values.iloc[-1:], marker="D", ms=4, color=line.get_color(), label="_final")


def clusters(images: PackedImages, assignments: pd.DataFrame) -> NDArray[np.uint8]:
    """A sheet (H, W, 3): a strip a cluster, largest first, the closest images first."""
    largest = clusterings.clusters(assignments, images.label, images.classes).head(ROWS)
    return sheet.draw(cluster_strips(images, largest, assignments, sheet.COLUMNS))


if __name__ == "__main__":
    run_stage(figures)
