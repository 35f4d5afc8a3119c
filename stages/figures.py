"""Draws the curves of section 4.1 (Fig. 2a, 2b) and the clusters of the finished network.

reads   history.csv, final/assignments.parquet, pack.json (pixels.zarr)
writes  figures/curves.png     NMI and AMI to labels, NMI between epochs, loss, share of images reassigned
        figures/clusters.png   the largest clusters: size, purity, commonest label, most typical images
"""

import io

import matplotlib
import numpy as np
import pandas as pd
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

REVISION = 3

ROWS = 12
"""Clusters on the sheet, at most."""

AGREEMENT = {
    "nmi_labels": "NMI, clusters and labels",
    "ami_labels": "AMI, clusters and labels",
    "nmi_previous": "NMI, clusters at t-1 and t",
}


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
    """What was measured by epoch, as a figure of three panels."""
    import matplotlib.pyplot as plt

    figure, (agreement, loss, reassigned) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    epoch = history["epoch"]
    for column, label in AGREEMENT.items():
        if history[column].notna().any():
            agreement.plot(epoch, history[column], marker=".", label=label)
    # The same in all rows: what the groups must be better than.
    pixels = history["pixels_ami"].dropna()
    if len(pixels):
        agreement.axhline(pixels.iloc[-1], ls="--", color="tab:orange", label="AMI, k-means on pixels")
    agreement.set(
        xlabel="epoch",
        ylabel="agreement of clusterings",
        ylim=(min(0, history[list(AGREEMENT)].min().min() - 0.01), None),
    )
    if history["loss"].notna().any():
        loss.plot(epoch, history["loss"], marker=".", color="tab:red", label="loss")
        # Constant and equal for all pseudo-labels, the network has learnt nothing yet: cross entropy ln k.
        labels = history["labels"].dropna()
        if len(labels):
            loss.axhline(np.log(float(labels.iloc[-1])), ls="--", color="tab:gray", label="chance: ln k")
    loss.set(xlabel="epoch", ylabel="loss on the pseudo-labels")
    if history["reassigned"].notna().any():
        reassigned.plot(epoch, history["reassigned"], marker=".", color="tab:purple")
    reassigned.set(xlabel="epoch", ylabel="share of images reassigned", ylim=(0, 1.02))
    figure.get_layout_engine().set(w_pad=0.15)  # type: ignore[union-attr, call-arg]
    for axes in (agreement, loss, reassigned):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(epoch.min() - 0.5, epoch.max() + 0.5)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", frameon=False)
    return figure


def clusters(images: PackedImages, assignments: pd.DataFrame) -> NDArray[np.uint8]:
    """A sheet (H, W, 3): a strip a cluster, largest first, the closest images first."""
    largest = clusterings.clusters(assignments, images.label, images.classes).head(ROWS)
    return sheet.draw(cluster_strips(images, largest, assignments, sheet.COLUMNS))


if __name__ == "__main__":
    run_stage(figures)
