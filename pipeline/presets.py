"""Values for a new run on a folder: those that fit it, or the paper's."""

from __future__ import annotations

import copy
import math
import os
import statistics
from dataclasses import dataclass
from typing import Any

from pipeline.machine import multiplies_bf16
from pipeline.results.verdict import learnt_elsewhere
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, PooledNetwork
from stages.method.decode import open_picture, silence
from stages.method.formats import MOST_ASPECT
from stages.parameters.model import ModelParams
from stages.parameters.resolution import merge
from stages.parameters.run import RunParams
from stages.sources.entries import Listing
from stages.sources.reading import refuse_machine_error
from stages.words import plural

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

PHOTOGRAPHS: dict[str, Any] = {
    "model": {"architecture": "resnet10", "sobel": False, "input": 64, "width": 0.5},
    "extract": {"view": "whole"},
    "cluster": {"spherical": True},
    "train": {
        "lr": 0.05,
        "momentum": 0.9,
        "top_momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "top_dropout": 0.2,
        "input": 48,
        "schedule": "cosine",
        "augment": {"area": 0.3, "jitter": 0.4, "hue": 0.1, "grey": 0.2},
    },
    # A network is surest of pictures at the size and crop that it was trained on: docs/recipes.md.
    "final": {"extract": {"view": "five-crop"}, "whiten": {"scale": False}},
}
"""What learns on thousands of photographs, where the paper's recipe learns nothing: docs/recipes.md."""

THUMBNAILS: dict[str, Any] = {
    "model": {"architecture": "convnet", "input": 32, "width": 1.0},
    "train": {"input": 24},
}
"""What `PHOTOGRAPHS` changes below a short side of `LEAST_SIDE`: a network that keeps every pixel in its first maps."""

LEAST_SIDE = 48
"""Short side in pixels that the network of `PHOTOGRAPHS` and the paper's need; of smaller ones 32 were tried."""

MOST_PHOTOGRAPHS = 50_000
"""Folders of more pictures, unless these are smaller than `LEAST_SIDE`, get the paper's recipe in small: `PHOTOGRAPHS`
was tried on thousands."""

FEWEST_PHOTOGRAPHS = 100
"""Photographs that `PHOTOGRAPHS` was tried on, at least."""

LOOKS = 432_000
"""Crops that `PHOTOGRAPHS` trains on in all, between about 400 pictures and 10,000."""

LOOKS_PER_CLUSTERING = 12_000
"""Crops between two clusterings, at least: four passes over the pictures, and at most 20."""

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
    # 128 is enough for `PHOTOGRAPHS`; at 96, the groups of one folder were worse.
    most = 256 if device != "cpu" and looked.count > MOST_PHOTOGRAPHS else 128
    least = 32 if looked.short < LEAST_SIDE else 72
    size = min(max(looked.short, least), most)
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

    Args:
        start: the network of the weights that the run begins with.

    Raises:
        Refusal: the pictures are packed smaller than that network needs them.
    """
    if preset == "paper":
        return copy.deepcopy(PAPER) | ({} if start is None else {"model": _started(start, size)})
    if start is not None:
        dim = min(256, ARCHITECTURES[start.architecture].features(start.width))
        sized = _sized(count, dim=dim, batch=256 if device != "cpu" else 64)
        return sized | {"model": _started(start, size)}
    if count > MOST_PHOTOGRAPHS and size >= LEAST_SIDE:
        return _paper_in_small(count, size, device)
    return _photographs(count, size, device)


def _sized(count: int, *, dim: int, batch: int) -> dict[str, Any]:
    """Sections that follow from the number of pictures.

    k is one that a person would browse, 2 sqrt(N), up to `MOST_PHOTOGRAPHS`; beyond, it grows as N to the power .71,
    which gives the paper's 10,000 at ImageNet's 1.28 million.

    Args:
        dim, batch: whitened dimensions and pictures a step, where the pictures are enough for them.
    """
    k = 2 * math.sqrt(count) if count <= MOST_PHOTOGRAPHS else 10_000 * (count / 1_281_167) ** 0.71
    return {
        "whiten": {"dim": max(1, min(dim, count // 2))},
        "cluster": {"k": max(2, min(_rounded(k), count // 4, 10_000))},
        "train": {"batch": max(2, min(batch, count // 4))},
    }


def _photographs(count: int, size: int, device: str) -> dict[str, Any]:
    """`PHOTOGRAPHS`, or that with `THUMBNAILS`, as long as these pictures need it."""
    recipe = merge(PHOTOGRAPHS, THUMBNAILS if size < LEAST_SIDE else {})
    passes = min(20, max(4, math.ceil(LOOKS_PER_CLUSTERING / count)))
    epochs = min(54, max(10, round(LOOKS / (passes * count))))
    cpu = device == "cpu"
    sized = _sized(count, dim=64, batch=64)
    # What is packed smaller is seen as it is.
    model = recipe["model"]
    side = max(ARCHITECTURES[model["architecture"]].least_input, min(size, model["input"]))
    crops = min(side, recipe["train"]["input"])
    rest: dict[str, Any] = {
        "epochs": epochs,
        "precision": "bf16" if cpu and multiplies_bf16() else "float32",
        "retain": {"last": 3, "every": 10},
        "model": {"input": side},
        "train": {
            "input": crops,
            "passes": passes,
            "horizon": epochs,
            "shards": min(2, sized["train"]["batch"] // 2) if cpu else 1,
        },
        "final": {"extract": {"input": crops}},
    }
    return merge(merge(copy.deepcopy(recipe), sized), rest)


def _paper_in_small(count: int, size: int, device: str) -> dict[str, Any]:
    """AlexNet and the paper's recipe: on a CPU a quarter as wide, on pictures of at most 112 pixels."""
    cuda = device != "cpu"
    least = ARCHITECTURES["alexnet"].least_input + 1
    return _sized(count, dim=256, batch=256 if cuda else 64) | {
        "model": {"input": max(least, min(size, 256 if cuda else 128) * 7 // 8), "width": 1.0 if cuda else 0.25}
    }


def _started(start: ModelParams, size: int) -> dict[str, Any]:
    """The section `model` of a run that begins with weights, on pictures that are packed at `size` pixels."""
    architecture = ARCHITECTURES[start.architecture]
    # No file of weights has a projection: the run has that of params.yaml.
    model = start.model_dump(exclude={"projection"})
    if start.input > size and isinstance(architecture, PooledNetwork):
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


def warn_of_few(params: RunParams, looked: Looked) -> str | None:
    """What to do about pictures that may be too few to learn from; None where they are enough."""
    if looked.count >= FEWEST_PHOTOGRAPHS:
        return None
    return (
        f"run {params.run}: fewer than {FEWEST_PHOTOGRAPHS} pictures were not tried, and may teach a network nothing "
        f"that their pixels do not tell: features that were learnt elsewhere, `{learnt_elsewhere(params)}`"
    )


def describe(params: RunParams, looked: Looked) -> str:
    """The one line that tells a user what was chosen for a new run."""
    run, model = params.run, params.model
    where = f"runs.{run} and datasets.{run}" if params.pictures.name == run else f"runs.{run}"
    some = f"about {looked.count:,} of {looked.of:,}" if looked.count < looked.of else f"{looked.of:,}"
    return (
        f"run {run}: {some} pictures of {params.pictures.path}, stored at {params.pictures.size} "
        f"pixels; {model.architecture} of width {model.width:g} on {model.input} pixels, k {params.cluster.k}, "
        f"{plural(params.epochs, 'epoch')} of {params.train.passes:g} passes: written under {where} in params.yaml, "
        "change them there"
    )
