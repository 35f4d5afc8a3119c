"""Measures of a clustering: NMI (section 4.1), AMI, purity, reassigned share, kNN accuracy, cluster sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.method.chance import expected_information
from stages.method.neighbours import nearest_others

COLLAPSED_SHARE = 0.9
"""A clustering whose largest cluster holds more than this is called collapsed."""

KNN_ROWS = 10_000
"""kNN accuracy is measured on at most this many images, spread evenly over the data set."""

TO_LABELS = ("nmi_labels", "ami_labels", "purity", "knn_accuracy")
"""What `to_labels` measures."""


def to_labels(
    rows: NDArray[np.float32], assignment: NDArray[np.integer], labels: NDArray[np.integer], device: str = "cpu"
) -> dict[str, float | None]:
    """How clusters, and nearest neighbours, agree with the classes: a value by each name of `TO_LABELS`.

    None where nothing has a label.

    Args:
        rows: (N, d), what was clustered.
        assignment: (N,) the cluster of each.
        labels: (N,) the class of each, -1 where unknown; those rows are left out.
        device: where neighbours are searched.
    """
    known = labels >= 0
    if not known.any():
        return dict.fromkeys(TO_LABELS)
    sample = np.unique(np.linspace(0, len(rows) - 1, min(KNN_ROWS, len(rows))).astype(np.int64))
    return {
        "nmi_labels": nmi(labels[known], assignment[known]),
        "ami_labels": ami(labels[known], assignment[known]),
        "purity": purity(assignment[known], labels[known]),
        "knn_accuracy": knn_accuracy(rows[sample], labels[sample], device=device),
    }


def nmi(a: NDArray[np.integer], b: NDArray[np.integer]) -> float | None:
    """I(A; B) / sqrt(H(A) H(B)), the paper's formula; within [0, 1].

    None where both are a single cluster: then nothing is shared, and libraries that answer 1
    would make a collapse look like convergence. 0 where one of them is.
    """
    from sklearn.metrics import normalized_mutual_info_score

    single = len(np.unique(a)) < 2, len(np.unique(b)) < 2
    if all(single):
        return None
    if any(single):
        return 0.0
    return float(np.clip(normalized_mutual_info_score(a, b, average_method="geometric"), 0, 1))


def ami(a: NDArray[np.integer], b: NDArray[np.integer]) -> float | None:
    """Mutual information beyond that of chance, over the mean entropy so adjusted (Vinh et al. 2010); at most 1.

    NMI grows with the number of clusters even where they are drawn by lot: this does not. None where both are a single
    cluster, and 0 where one of them is, as `nmi`.
    """
    from sklearn.metrics import mutual_info_score

    counts = [np.unique(each, return_counts=True)[1] for each in (a, b)]
    single = [len(each) < 2 for each in counts]
    if all(single):
        return None
    if any(single):
        return 0.0
    by_chance = expected_information(*counts)
    entropies = [float(-(each / len(a) * np.log(each / len(a))).sum()) for each in counts]
    room = sum(entropies) / 2 - by_chance
    # None is left where every group has one image: then each grouping is the other.
    return 1.0 if room <= 1e-12 else float(min((mutual_info_score(a, b) - by_chance) / room, 1))


def purity(clusters: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Share of images whose class is the most frequent one in their cluster; within (0, 1].

    It grows with the number of clusters, up to 1 where each image is one of its own.

    Args:
        clusters, labels: (N,) numbers from 0, N > 0.
    """
    width = int(labels.max()) + 1
    pairs, counts = np.unique(clusters.astype(np.int64) * width + labels, return_counts=True)
    most = np.zeros(int(clusters.max()) + 1, np.int64)
    np.maximum.at(most, pairs // width, counts)
    return float(most.sum() / len(clusters))


def reassigned_share(before: NDArray[np.integer], after: NDArray[np.integer]) -> float:
    """Share of images that did not go where most of their old cluster went.

    Cluster numbers mean nothing from one epoch to the next, so an image counts as reassigned
    unless it lies in the new cluster that received most of its old one.
    """
    return 1 - purity(before, after)


def knn_accuracy(
    rows: NDArray[np.float32], labels: NDArray[np.integer], neighbours: int = 10, device: str = "cpu"
) -> float | None:
    """Share of rows whose class is the most frequent among their nearest other rows.

    Rows without a label (-1) are left out; ties go to the smaller class. None with fewer than two
    labelled rows.
    """
    known = labels >= 0
    rows, labels = rows[known], labels[known]
    if len(rows) < 2:
        return None
    near, _ = nearest_others(rows, min(neighbours, len(rows) - 1), device)
    votes = np.zeros((len(rows), int(labels.max()) + 1), np.int32)
    np.add.at(votes, (np.arange(len(rows))[:, None], labels[near]), 1)
    return float((votes.argmax(1) == labels).mean())


def cluster_sizes(assignment: NDArray[np.integer], k: int) -> dict[str, Any]:
    """Counts of empty and single clusters, the largest share and the entropy (nats) of the sizes."""
    sizes = np.bincount(assignment, minlength=k)
    share = sizes[sizes > 0] / len(assignment)
    return {
        "clusters": len(sizes),
        "used": int((sizes > 0).sum()),
        "empty": int((sizes == 0).sum()),
        "singletons": int((sizes == 1).sum()),
        "largest_share": float(share.max()),
        "entropy": float(-(share * np.log(share)).sum()),
    }
