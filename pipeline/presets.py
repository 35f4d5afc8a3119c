"""Values for a new run on a folder: those that fit it, or the paper's."""

from __future__ import annotations

import copy
import math
import os
import statistics
from dataclasses import dataclass
from typing import Any

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, ResidualNetwork
from stages.method.decode import open_picture, silence
from stages.parameters.dataset import MOST_ASPECT
from stages.parameters.model import ModelParams
from stages.parameters.run import RunParams
from stages.sources.entries import Listing
from stages.sources.reading import refuse_machine_error

PAPER: dict[str, Any] = {
    "epochs": 500,
    "model": {"architecture": "alexnet", "sobel": True, "input": 224, "width": 1.0},
    "extract": {"batch": 256},
    "whiten": {"dim": 256},
    "cluster": {"method": "kmeans", "k": 10000, "iterations": 20, "every": 1},
    "train": {
        "batch": 256,
        "lr": 0.05,
        "momentum": 0.9,
        "weight_decay": 1e-5,
        "dropout": 0.5,
        "passes": 1,
        "sampling": "uniform",
        "schedule": "constant",
    },
    "retain": {"last": 3, "every": 50},
}
"""Section 3.4, what the released code adds to it, and what keeps 500 epochs on one disk."""

PRESETS = ("fit", "paper")

SAMPLED = 200
"""Pictures whose size is looked at to choose the size of the data set."""


@dataclass(frozen=True)
class Looked:
    """What the headers of a listing's pictures tell.

    Attributes:
        count: how many can be read, as far as those tell that were looked at.
        of: how many are listed.
        short: median short side in pixels.
    """

    count: int
    of: int
    short: int


def look(listing: Listing) -> Looked:
    """Looks at the headers of `SAMPLED` pictures or some more, spread over the listing, or of all.

    Raises:
        Refusal: none of them can be read.
    """
    found = listing.entries[:: max(1, len(listing.entries) // SAMPLED)]
    sides = []
    for entry in found:
        try:
            with silence, open_picture(os.fsdecode(entry.path)) as picture:
                sides.append(min(picture.size))
        except OSError as error:
            if error.errno is not None:
                refuse_machine_error(error, entry.path)
        except Exception:
            # Whatever is wrong with it, `pack` will say so in rejected.parquet.
            continue
    if not sides:
        raise Refusal(
            f"none of the {len(found):,} pictures looked at can be read, such as "
            f"{os.fsdecode(listing.entries[0].path)}; give another folder with --images"
        )
    count = len(listing.entries) * len(sides) // len(found)
    return Looked(count, len(listing.entries), int(statistics.median(sides)))


def fit_values(
    looked: Looked, preset: str, device: str, start: ModelParams | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides of the run, and the entry of its data set, both without their names.

    Args:
        start: the network of the weights that it begins with.
    """
    size = min(max(looked.short, 72), 256 if device != "cpu" else 128)
    if start is not None:
        # Whatever the device: a network sees best what it was trained on. 256 for 224, as in the paper.
        size = round(start.input * 8 / 7)
    elif preset == "paper":
        size = 256
    values = run_values(looked.count, size, preset, device, start)
    if preset == "paper":
        return values, {"size": size, "labels": True, "chunk_mib": 128}
    longest = size * size * 3 * MOST_ASPECT / 2**20
    whole = looked.count * size * size * 4 / 2**20
    chunk = 2 ** math.ceil(math.log2(max(1.0, longest, min(128.0, whole / 8))))
    return values, {"size": size, "labels": True, "chunk_mib": chunk}


def run_values(count: int, size: int, preset: str, device: str, start: ModelParams | None = None) -> dict[str, Any]:
    """Overrides of a run on `count` pictures that are packed at a short side of `size` pixels.

    k grows as N to the power .71, which gives the paper's 10,000 at ImageNet's 1.28 million and 20
    at 200. On a CPU the network is a quarter as wide and its input at most 112 pixels.

    Args:
        start: the network of the weights that the run begins with.

    Raises:
        Refusal: the pictures are packed smaller than that network needs them.
    """
    given = {} if start is None else {"model": _started(start, size)}
    if preset == "paper":
        return copy.deepcopy(PAPER) | given
    cuda = device != "cpu"
    size = min(size, 256 if cuda else 128)
    least = ARCHITECTURES["alexnet"].least_input + 1
    model_input = max(least, size * 7 // 8)
    features = 256 if start is None else ARCHITECTURES[start.architecture].features(start.width)
    k = 20 * (count / 200) ** 0.71
    k = max(2, min(_rounded(k), count // 4, 10_000))
    batch = max(2, min(256 if cuda else 64, count // 4))
    return {
        "model": {"input": model_input, "width": 1.0 if cuda else 0.25},
        "whiten": {"dim": max(1, min(256, count // 2, features))},
        "cluster": {"k": k},
        "train": {"batch": batch},
    } | given


def _started(start: ModelParams, size: int) -> dict[str, Any]:
    """The section `model` of a run that begins with weights, on pictures that are packed at `size` pixels."""
    architecture = ARCHITECTURES[start.architecture]
    model = start.model_dump()
    if start.input > size and isinstance(architecture, ResidualNetwork):
        model["input"] = max(architecture.least_input, size * 7 // 8)
    elif start.input > size:
        raise Refusal(
            f"--weights: its network sees {start.input} pixels, and these pictures are packed at {size}: give them "
            "anew, with --images in place of --dataset"
        )
    return model


def _rounded(value: float) -> int:
    """To two digits, since more would promise a precision that the rule lacks."""
    digits = max(0, math.floor(math.log10(max(value, 1))) - 1)
    return int(round(value / 10**digits) * 10**digits)


def describe(params: RunParams, looked: Looked) -> str:
    """The one line that tells a user what was chosen for a new run."""
    run, model = params.run, params.model
    where = f"runs.{run} and datasets.{run}" if params.pictures.name == run else f"runs.{run}"
    some = f"about {looked.count:,} of {looked.of:,}" if looked.count < looked.of else f"{looked.of:,}"
    return (
        f"run {run}: {some} pictures of {params.pictures.path}, stored at {params.pictures.size} "
        f"pixels, network input {model.input}, width {model.width:g}, k {params.cluster.k}, batch "
        f"{params.train.batch}: written under {where} in params.yaml, change them there"
    )
