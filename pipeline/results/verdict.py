"""Whether a run has learnt something: its loss against that of guessing, its groups against what costs no training."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from stages.parameters.run import RunParams

STANDSTILL = 0.97
"""A lowest loss above this share of ln(number of pseudo-labels), that of guessing, has taught the network nothing."""

MEASURES = {"AMI": ("ami_labels", "ami"), "NMI": ("nmi_labels", "nmi"), "purity": ("purity", "purity")}
"""What is told of the groups: its name in summary.json, and the ending of the names of what it stands beside."""


def verdict(summary: Mapping[str, Any], params: RunParams) -> list[str]:
    """A line of numbers, and where something is wrong a line that names it, with the commands that change it.

    Args:
        summary: content of the run's summary.json.
        params: the run's parameters, for the commands.
    """
    wrong = _wrong(summary, params)
    line = "; ".join(wrong.values())
    if wrong and summary["loss"] is not None:
        line += _advice(next(iter(wrong)), params)
    return list(filter(None, [_numbers(summary, params), line]))


def _numbers(summary: Mapping[str, Any], params: RunParams) -> str:
    parts = []
    if summary["loss"] is not None:
        # By a cosine to centroids, guessing is not where a loss begins.
        labels = summary["labels"] if params.recipe == "deepcluster" else None
        told, least = f"loss {summary['loss']:.3f}", summary["loss_to_chance"]
        if labels is not None:
            chance = math.log(labels)
            told += f" of ln {labels} = {chance:.3f}"
            # At the end it may rise, with a step size that falls to 0.
            if least is not None and summary["loss"] > (least + 0.01) * chance:
                told += f" (at best {least:.0%} of that)"
        parts.append(told)
    measured = {word: names for word, names in MEASURES.items() if summary[names[0]] is not None}
    if measured:
        groups = ", ".join(f"{word} {summary[own]:.3f}" for word, (own, _) in measured.items())
        alike = params.at_the_end == params
        beside = []
        for words, prefix in (("before training", "untrained"), ("k-means on pixels", "pixels")):
            values = [summary[f"{prefix}_{ending}"] for _, ending in measured.values()]
            # An epoch that was recorded earlier lacks the later measures. Those before training are of groups that were
            # made as the epochs make them.
            if values[0] is not None and (alike or prefix == "pixels"):
                beside.append(f"{words} " + ", ".join("-" if value is None else f"{value:.3f}" for value in values))
        parts.append(f"to labels {groups}" + (f" ({'; '.join(beside)})" if beside else ""))
        first, last = summary["untrained_ami"], summary["last_ami"]
        if not alike and first is not None and last is not None and params.epochs > params.cluster.every:
            parts.append(f"AMI of the clusters that it trained on {first:.3f} at first, {last:.3f} at last")
    return "; ".join(parts)


def _wrong(summary: Mapping[str, Any], params: RunParams) -> dict[str, str]:
    """What is wrong, by its name, the worst first."""
    found = {}
    loss = summary["loss_to_chance"] if params.recipe == "deepcluster" else None
    # A few groups that were asked for are no collapse.
    if summary["collapsed"] and params.final.cluster.k is None:
        found["collapse"] = f"collapse: the largest cluster holds {summary['largest_share']:.0%} of the pictures"
    if loss is not None and loss > STANDSTILL:
        found["standstill"] = "standstill: the network has not learnt its pseudo-labels"
    # AMI alone decides: NMI and purity grow with the number of clusters.
    own = {"pixels_ami": summary["ami_labels"]}
    # Like with like: `final` may make groups otherwise than the first epoch.
    own["untrained_ami"] = summary["ami_labels" if params.at_the_end == params else "last_ami"]
    for words, name in (("the network before training", "untrained_ami"), ("k-means on pixels", "pixels_ami")):
        ami = own[name]
        if ami is not None and summary[name] is not None and ami < summary[name]:
            found[name] = f"the groups tell less of the labels than those of {words}"
    return found


def longer(params: RunParams) -> str:
    """The command that trains a finished run for as long again: in a branch where its schedule would end before."""
    epochs = _twice(params)
    if _goes_on(params):
        return f"python -m pipeline run --run {params.run} --epochs {epochs}"
    source = f"--from {params.run}@{params.epochs} --run NAME"
    return f"python -m pipeline branch {source} --epochs {epochs} --set train.horizon={epochs}"


def learnt_elsewhere(params: RunParams) -> str:
    """The command that groups a run's pictures by a network that others have trained."""
    images = shlex.quote(params.pictures.path)
    return f"python -m pipeline run --run NAME --images {images} --weights torchvision:resnet50 --epochs 0"


def _twice(params: RunParams) -> int:
    """The last epoch of as many again."""
    return params.epochs + (params.epochs - params.start)


def _goes_on(params: RunParams) -> bool:
    """Whether as many epochs again fit into the schedule."""
    return params.train.horizon is None or params.train.horizon >= _twice(params)


def _advice(finding: str, params: RunParams) -> str:
    branch = f"`python -m pipeline branch --from {params.run}@{params.start} --run NAME --set"
    lr = params.train.lr
    if finding == "collapse":
        return f": lower train.lr, {branch} train.lr={lr / 2:g}`"
    words = []
    if _goes_on(params):
        words.append(f"more epochs, `{longer(params)}`")
    if finding == "standstill":
        # What the top layer has time for: it begins anew in each epoch. Centroids that are one learn nothing.
        if params.train.top_momentum == 0 and params.recipe == "deepcluster":
            words.append(f"momentum for the top layer, {branch} train.top_momentum=0.9`")
        else:
            words.append(f"more passes between two clusterings, {branch} train.passes={params.train.passes * 2:g}`")
        if params.cluster.k is not None and params.cluster.k > 2:
            words.append(f"fewer clusters, {branch} cluster.k={params.cluster.k // 2}`")
    elif params.init.weights is None:
        words.append(f"weights from elsewhere, `{learnt_elsewhere(params)}`")
    return ": " + "; or ".join(words) if words else ""
