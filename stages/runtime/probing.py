"""Trains classifiers on the layers of a frozen network over packed pictures, and tests them as they go (Table 1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stages.artifacts.pictures import PackedImages
from stages.artifacts.tables import write_parquet
from stages.errors import Refusal
from stages.method.augment import Crops, cut
from stages.method.sampling import batches
from stages.protocols.accuracy import ranks
from stages.protocols.crops import square_crops
from stages.protocols.heads import HeadLearner
from stages.protocols.layers import FrozenLayers
from stages.runtime.evaluating import Labelled
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.save_points import SavePoints

Cut = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""The crops of a picture to test on: (crops, size, size, 3) uint8 from the picture and the size."""


@dataclass(frozen=True)
class Probe:
    """How classifiers are trained and tested.

    Attributes:
        layers: gives what the classifiers see.
        heads: the classifiers, untrained.
        side: of the network's input, in pixels.
        central: whether training crops are taken from the middle square; else from anywhere.
        cut: the crops to test on.
        crops: their number.
    """

    layers: FrozenLayers
    heads: HeadLearner
    side: int
    central: bool
    cut: Cut
    crops: int


def train_and_test(job: Job[Any], probe: Probe, pictures: Labelled) -> dict[str, dict[str, float]]:
    """Trains for `epochs`, tests every `test_every` of them, and writes both tables; resumed after a kill.

    curve         a row an epoch and layer: epoch, layer, loss, accuracy (of training), top1, top5 (NaN if not tested)
    predictions   a row a test picture: image, label, then of each layer the class and the rank of the right one

    Returns:
        Percentages by layer: top1 and top5 of the last epoch, and best_top1, the best of all that were tested.

    Raises:
        Refusal: a loss is not finite, or pictures are smaller than the network's input.
    """
    params, test = job.params.evaluation, pictures.test
    for name, images in ((params.train, pictures.train), (params.test, test)):
        if min(images.height.min(), images.width.min()) < probe.side:
            raise Refusal(f"datasets.{name}: size: the network sees {probe.side} pixels, and pictures are smaller")
    points = SavePoints(job)
    rows: list[dict[str, Any]] = []
    predictions = pd.DataFrame()
    if (state := points.load()) is not None:
        probe.heads.load(state["heads"])
        rows = state["rows"]
    done = len(rows) // len(probe.heads.heads)
    if done:
        job.say(f"goes on at epoch {done + 1} of {params.epochs}")
    for epoch in range(done, params.epochs):
        losses, right = _train(job, probe, pictures.train, pictures.chosen, epoch)
        for layer, loss in losses.items():
            if not math.isfinite(loss):
                raise Refusal(f"epoch {epoch + 1}: the loss of {layer} is {float(loss)}; lower its learning rate")
        last = epoch + 1 == params.epochs
        tested = last or (epoch + 1) % params.test_every == 0
        found = _test(job, probe, test) if tested else {}
        for layer, loss in losses.items():
            row = {"epoch": epoch + 1, "layer": layer, "loss": float(loss)}
            row["accuracy"] = float(right[layer]) / len(pictures.chosen)
            top1, top5 = ((found[layer][1] < k).mean() if tested else math.nan for k in (1, 5))
            rows.append(row | {"top1": float(top1), "top5": float(top5)})
        if last:
            columns = {"image": np.arange(len(test)), "label": test.label}
            for layer, (classes, rank) in found.items():
                columns |= {layer: classes, f"{layer}_rank": rank}
            predictions = pd.DataFrame(columns)
        else:
            points.offer(partial(_state, probe.heads, rows))
    job.images += params.epochs * len(pictures.chosen)
    curve = pd.DataFrame(rows)
    write_parquet(job.output("curve"), curve)
    write_parquet(job.output("predictions"), predictions)
    return _numbers(curve)


def _numbers(curve: pd.DataFrame) -> dict[str, dict[str, float]]:
    rows = {layer: curve[curve["layer"] == layer] for layer in dict.fromkeys(curve["layer"])}
    return {
        "top1": {layer: 100 * float(row["top1"].iloc[-1]) for layer, row in rows.items()},
        "top5": {layer: 100 * float(row["top5"].iloc[-1]) for layer, row in rows.items()},
        "best_top1": {layer: 100 * float(row["top1"].max()) for layer, row in rows.items()},
    }


def _state(heads: HeadLearner, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"heads": heads.state(), "rows": rows}


def _train(
    job: Job[Any], probe: Probe, images: PackedImages, chosen: NDArray[np.int64], epoch: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One pass; by layer, the mean loss and the number of right predictions."""
    # Drawn from the epoch's number, so that neither a resume nor the number of workers changes them.
    rng = np.random.default_rng([job.torch_seed, epoch])
    order = rng.permutation(chosen)
    crops: Crops = square_crops(images.height[order], images.width[order], rng, probe.side, central=probe.central)
    spans = batches(len(order), job.params.evaluation.batch)

    def load(span: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pictures = [cut(images[order[i]], crops, i, probe.side) for i in range(*span)]
        return np.stack(pictures), images.label[order[slice(*span)]]

    losses: dict[str, Any] = dict.fromkeys(probe.heads.heads, 0.0)
    right: dict[str, Any] = dict.fromkeys(probe.heads.heads, 0)
    loaded = prefetch(load, spans, job.workers)
    for pictures, labels in job.progress(loaded, len(order), lambda batch: len(batch[1])):
        for layer, (loss, correct) in probe.heads.train_step(probe.layers(pictures), labels).items():
            losses[layer] = losses[layer] + loss * len(labels) / len(order)
            right[layer] = right[layer] + correct
    return losses, right


def _test(job: Job[Any], probe: Probe, images: PackedImages) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """By layer, the class that each picture is given, and the rank of its right one; both (N,)."""
    spans = batches(len(images), max(1, job.params.evaluation.batch // probe.crops))

    def load(span: tuple[int, int]) -> NDArray[np.uint8]:
        return np.concatenate([probe.cut(images[i], probe.side) for i in range(*span)])

    scores: dict[str, list[Any]] = {layer: [] for layer in probe.heads.heads}
    loaded = prefetch(load, spans, job.workers)
    with torch.inference_mode():
        for pictures in job.progress(loaded, len(images), lambda found: len(found) // probe.crops):
            for layer, found in probe.heads.probabilities(probe.layers(pictures), probe.crops).items():
                scores[layer].append(found.cpu())
    every = {layer: torch.cat(found).numpy() for layer, found in scores.items()}
    return {layer: (found.argmax(1), ranks(found, images.label)) for layer, found in every.items()}
