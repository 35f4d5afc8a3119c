"""Draws the curves of section 4.1 (Fig. 2a, 2b) and the clusters of the finished network.

reads   history.csv, final/assignments.parquet, pack.json (pixels.zarr)
writes  figures/curves.png     NMI to labels, NMI between epochs, loss
        figures/clusters.png   the images closest to each of the largest clusters' centroids
"""

import io

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from stages.artifacts.pictures import PackedImages
from stages.artifacts.tables import read_parquet
from stages.artifacts.writing import write_bytes
from stages.parameters.types import NoKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

matplotlib.use("Agg")

REVISION = 1

ROWS, COLUMNS, TILE, GAP = 12, 12, 56, 4


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
    sheet = clusters(job.packed(), read_parquet(job.input("assignments")))
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    write_bytes(folder / "clusters.png", buffer.getbuffer())


def curves(history: pd.DataFrame) -> "matplotlib.figure.Figure":
    """NMI and loss by epoch, as a figure of two panels."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for column, label in (("nmi_labels", "clusters and labels"), ("nmi_previous", "clusters at t-1 and t")):
        if history[column].notna().any():
            left.plot(history["epoch"], history[column], marker=".", label=label)
    left.set(xlabel="epoch", ylabel="NMI", ylim=(0, None))
    left.legend(loc="best", frameon=False)
    if history["loss"].notna().any():
        right.plot(history["epoch"], history["loss"], marker=".", color="tab:red")
    right.set(xlabel="epoch", ylabel="loss on the pseudo-labels")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def clusters(images: PackedImages, assignments: pd.DataFrame) -> NDArray[np.uint8]:
    """A sheet of squares (H, W, 3): a row a cluster, largest first, the closest images first."""
    sizes = assignments["cluster"].value_counts(sort=True).head(ROWS)
    step = TILE + GAP
    sheet = np.full((len(sizes) * step + GAP, COLUMNS * step + GAP, 3), 255, np.uint8)
    for row, cluster in enumerate(sizes.index):
        members = assignments[assignments["cluster"] == cluster].nsmallest(COLUMNS, "distance")
        for column, image in enumerate(members["image"]):
            top, left = GAP + row * step, GAP + column * step
            sheet[top : top + TILE, left : left + TILE] = thumbnail(images, int(image), TILE)
    return sheet


def thumbnail(images: PackedImages, image: int, size: int) -> NDArray[np.uint8]:
    """The centre of a picture as (size, size, 3)."""
    side = min(int(images.height[image]), int(images.width[image]))
    square = Image.fromarray(images.centre_crop(image, side))
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    run_stage(figures)
