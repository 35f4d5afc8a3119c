"""Verifies the trained network and publishes it with the epoch's measures.

reads   trained/, clustering.json and pseudolabels.parquet (if the epoch clustered anew)
writes  checkpoint.pt   a hard link to trained/checkpoint.pt; what the next epoch starts from
        metrics.json    the epoch's row of history.csv
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.artifacts.checkpoints import build, load
from stages.artifacts.documents import load_json, write_json
from stages.artifacts.measures import epoch_row
from stages.artifacts.tables import read_parquet
from stages.artifacts.writing import link
from stages.dag.names import CHECKPOINT, STEPS
from stages.errors import Refusal
from stages.parameters.model import ModelKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 1


def checkpoint(job: Job[ModelKeys]) -> None:
    """Publishes what `train` wrote, once it is verified, and the epoch's metrics.

    Raises:
        Refusal: as `verify`.
    """
    source = job.input("trained") / CHECKPOINT
    verify(load(source), build(job.params.model).state_dict(), source)
    metrics = _metrics(job)
    link(source, job.output("checkpoint"))
    write_json(job.output("metrics"), metrics)


def verify(content: dict[str, Any], expected: dict[str, torch.Tensor], path: Path) -> None:
    """Checks every weight and momentum of a checkpoint.

    Args:
        content: of the checkpoint.
        expected: state_dict of a network as the run describes it.
        path: of the checkpoint, for the refusal.

    Raises:
        Refusal: a weight is missing, unknown, of another shape or not finite, or a momentum or the top layer is not
            finite.
    """
    network = content["network"]
    if network.keys() != expected.keys():
        odd = sorted(network.keys() ^ expected.keys())[0]
        raise Refusal(f"{path}: {odd} is missing or unknown; rerun train")
    for name, value in network.items():
        if value.shape != expected[name].shape:
            raise Refusal(
                f"{path}: {name} has shape {tuple(value.shape)} instead of {tuple(expected[name].shape)}; rerun train"
            )
        if not torch.isfinite(value).all():
            raise Refusal(f"{path}: {name} is not finite; rerun train, with a lower train.lr if it returns")
    for index, state in content["optimizer"].get("state", {}).items():
        momentum = state.get("momentum_buffer")
        if momentum is not None and not torch.isfinite(momentum).all():
            raise Refusal(f"{path}: the momentum of parameter {index} is not finite; rerun train")
    if not all(torch.isfinite(value).all() for value in content.get("top", {}).values()):
        raise Refusal(f"{path}: the top layer is not finite; rerun train, with a lower train.lr if it returns")


def _metrics(job: Job[ModelKeys]) -> dict[str, Any]:
    steps = read_parquet(job.input("trained") / STEPS)
    images = int(steps["images"].sum())
    clustering = load_json(job.input("clustering")) if job.reads("clustering") else None
    labels = None
    if job.reads("pseudolabels"):
        labels = int(read_parquet(job.input("pseudolabels"), ["label"])["label"].max()) + 1
    training = {
        "loss": float(np.average(steps["loss"], weights=steps["images"])),
        "loss_first": float(steps["loss"].iloc[0]),
        "loss_last": float(steps["loss"].iloc[-1]),
        "accuracy": float(steps["correct"].sum() / images),
        "images_trained": images,
        "lr": float(steps["lr"].iloc[-1]),
        "labels": labels,
    }
    return epoch_row(job.epoch, training, clustering)


if __name__ == "__main__":
    run_stage(checkpoint)
