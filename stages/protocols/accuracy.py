"""Top-1 and top-5 accuracy, and the mean over crops that they are measured on (Table 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stages.errors import Refusal


def crop_probabilities(logits: Tensor, crops: int) -> Tensor:
    """(B, classes) float32 mean over an image's crops of the softmax of (B * crops, classes) logits.

    "Averaged over 10 crops" (Table 1): the released code averages probabilities, not logits.

    Args:
        crops: rows of each image, which lie one after the other.
    """
    return logits.float().softmax(1).unflatten(0, (-1, crops)).mean(1)


def ranks(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N,) how many classes come before the right one; classes of equal scores come in their own order.

    Args:
        scores: (N, classes), the greatest for the first class.
        labels: (N,) number of the right class.

    Raises:
        Refusal: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise Refusal("the scores of the evaluation are not finite: its training diverged; lower its learning rate")
    own = np.take_along_axis(scores, labels.astype(np.int64)[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def topk_accuracy(scores: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> float:
    """Share, from 0 to 1, of images whose right class is among their `k` first ones; see `ranks`."""
    return float((ranks(scores, labels) < k).mean())


def top_classes(scores: Tensor, k: int) -> Tensor:
    """(N, min(k, classes)) int64 classes of the greatest of (N, classes) scores, in the order that `ranks` means."""
    return scores.argsort(dim=1, descending=True, stable=True)[:, :k]
