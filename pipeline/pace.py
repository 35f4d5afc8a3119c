"""How long a run takes, from the time of its own epochs, and how it would go on."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.results.verdict import longer
from stages.dag.folders import run_folder
from stages.dag.names import TIMINGS
from stages.dag.nodes import Node
from stages.parameters.run import RunParams
from stages.words import duration, plural

WORTH_TELLING = 1.0
"""Seconds that an epoch takes at least if it was computed now, and not found there."""


def told(nodes: Iterable[Node], params: RunParams, say: Callable[[str], None]) -> Iterator[Node]:
    """Yields the stages of a run in order, and says after the first epoch that is computed how long the others take."""
    epoch, began, silent = None, time.monotonic(), True
    for node in nodes:
        number = node.epoch if node.in_epoch else None
        if number != epoch:
            spent, left = time.monotonic() - began, params.epochs - (epoch or 0)
            if silent and epoch is not None and left > 0 and spent > WORTH_TELLING:
                others = "the other takes" if left == 1 else f"the other {left} take"
                rest = duration(left * spent)
                say(f"run {params.run}: epoch {epoch} took {duration(spent)}, {others} about {rest}")
                silent = False
            epoch, began = number, time.monotonic()
        yield node


def further(root: Path, params: RunParams) -> str | None:
    """The command that trains a finished run for as long again, and how long that takes.

    None for a run of 0 epochs, or one that was computed elsewhere.
    """
    trained = params.epochs - params.start
    timings = root / run_folder(params.run) / TIMINGS
    if trained < 1 or not timings.exists():
        return None
    with open(timings, newline="", encoding="utf-8") as file:
        # The last time of each stage: one that was run again took no longer for it.
        seconds = {(row["epoch"], row["stage"]): float(row["seconds"]) for row in csv.DictReader(file)}
    spent = sum(
        value
        for (epoch, _), value in seconds.items()
        if epoch.isdecimal() and params.start < int(epoch) <= params.epochs
    )
    return f"{plural(trained, 'epoch')} more, about {duration(spent)}: `{longer(params)}`"
