"""stages/figures.py: the curves show what was measured, the sheet the clusters of the finished network."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from stage_helpers import RUN

from stages.artifacts.pictures import PackedImages
from stages.artifacts.sheets import cluster_strips
from stages.figures import clusters, curves
from stages.method.clusterings import clusters as table_of
from stages.method.sheet import GAP, TILE, thumbnail


def history_of(finished) -> pd.DataFrame:
    return pd.read_csv(finished.root / RUN / "history.csv")


def final(finished) -> tuple[PackedImages, pd.DataFrame]:
    images = PackedImages(finished.root / "data/images/demo")
    return images, pd.read_parquet(finished.root / RUN / "final/assignments.parquet")


def drawn(history: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    """The lines of each panel by their names, each with the point of final/ that stands beside it."""
    figure = curves(history)
    figure.canvas.draw()
    found = []
    for axes in figure.axes:
        lines: dict[str, np.ndarray] = {}
        for line in axes.get_lines():
            if line.get_label() == "_final":
                name = list(lines)[-1]
                assert list(line.get_xdata()) == [history["epoch"].iloc[-1]]
                lines[name] = np.append(lines[name], line.get_ydata())
            else:
                lines[line.get_label()] = line.get_ydata()
        found.append(lines)
    assert all([label.get_text() for label in axes.get_xticklabels()][-1] == "final" for axes in figure.axes)
    plt.close(figure)
    return found


def test_curves_show_agreement_loss_beside_chance_and_the_reassigned_share(finished):
    history = history_of(finished)
    agreement, loss, reassigned = drawn(history)
    for name, column in (
        ("NMI, clusters and labels", "nmi_labels"),
        ("AMI, clusters and labels", "ami_labels"),
        ("NMI, clusters at t-1 and t", "nmi_previous"),
    ):
        assert np.array_equal(agreement[name], history[column], equal_nan=True)
    assert list(agreement["AMI, k-means on pixels"]) == [history["pixels_ami"].iloc[0]] * 2
    assert np.array_equal(loss["loss"], history["loss"], equal_nan=True)
    assert loss["chance: ln k"][:2] == pytest.approx([math.log(count) for count in history["labels"][:2]])
    assert [list(values) for values in reassigned.values()] == [pytest.approx(list(history["reassigned"]), nan_ok=True)]


def test_a_loss_that_hardly_falls_does_not_fill_its_panel(finished):
    history = history_of(finished)
    figure = curves(history.assign(loss=[2.3, 2.299, np.nan], labels=[10, 10, np.nan]))
    low, high = figure.axes[1].get_ylim()
    plt.close(figure)
    assert low <= 0.9 * math.log(10) and high >= math.log(10)


def test_curves_of_a_run_without_labels_or_training_hold_what_there_is(finished):
    history = history_of(finished).assign(nmi_labels=np.nan, ami_labels=np.nan, pixels_ami=np.nan)
    assert list(drawn(history)[0]) == ["NMI, clusters at t-1 and t"]
    empty = history.tail(1).assign(nmi_previous=np.nan, reassigned=np.nan)
    assert drawn(empty) == [{}, {}, {}]


def test_the_sheet_shows_the_largest_clusters_with_the_most_typical_pictures_first(finished):
    images, assignments = final(finished)
    sheet = clusters(images, assignments)
    largest = assignments["cluster"].value_counts().sort_index().idxmax()
    closest = assignments[assignments["cluster"] == largest].nsmallest(2, "distance")["image"]
    first, second = (thumbnail(images[image]) for image in closest)
    strip = sheet[GAP : GAP + TILE]
    left = next(x for x in range(strip.shape[1] - TILE) if np.array_equal(strip[:, x : x + TILE], first))
    assert np.array_equal(strip[:, left + TILE + GAP :][:, :TILE], second)


def test_a_strip_says_cluster_size_purity_and_commonest_label(finished):
    images, assignments = final(finished)
    table = table_of(assignments, images.label, images.classes)
    for strip, row in zip(cluster_strips(images, table, assignments, 3), table.to_dict("records"), strict=True):
        told = f"{row['size']:,} picture" + ("s" if row["size"] != 1 else "")
        assert list(strip.lines) == [f"cluster {row['cluster']}", told, f"{row['purity']:.0%} {row['label']}"]
        assert len(strip.tiles) == min(3, row["size"])
    unknown = table_of(assignments, np.full(len(images), -1), images.classes)
    assert all(len(strip.lines) == 2 for strip in cluster_strips(images, unknown, assignments, 1))
