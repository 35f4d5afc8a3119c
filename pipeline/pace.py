"""How long a run takes, from the time of its own epochs, and how it would go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.recomputing import recorded_hours
from pipeline.recording.inspector import NodeStatus
from pipeline.results.verdict import longer
from stages.dag.epochs import own_epochs
from stages.dag.nodes import Node
from stages.parameters.run import RunParams
from stages.words import duration, plural

WORTH_TELLING = 1.0
"""Seconds that an epoch takes at least if it was computed now, and not found there."""


def with_forecast(nodes: Iterable[Node], states: list[NodeStatus], say: Callable[[str], None]) -> Iterator[Node]:
    """Yields the stages of a run in order, and says after the first whole epoch how long those that are left take.

    Args:
        states: of the run's stages before the first of them is computed. An epoch that was begun then tells nothing.
    """
    within = [status for status in states if status.node.in_epoch]
    unfinished = {status.node.epoch for status in within if status.state != "done"}
    whole = unfinished - {status.node.epoch for status in within if status.state == "done"}
    epoch, began, silent = None, time.monotonic(), True
    for node in nodes:
        number = node.epoch if node.in_epoch else None
        if number != epoch:
            unfinished.discard(epoch)
            spent, left = time.monotonic() - began, len(unfinished)
            if silent and epoch in whole and left > 0 and spent > WORTH_TELLING:
                others = "the other takes" if left == 1 else f"the other {left} take"
                say(f"run {node.run}: epoch {epoch} took {duration(spent)}, {others} about {duration(left * spent)}")
                silent = False
            epoch, began = number, time.monotonic()
        yield node


def further(root: Path, params: RunParams) -> str | None:
    """The command that trains a finished run for as long again, and how long that takes.

    None for a run of 0 epochs, or one that was computed elsewhere.
    """
    epochs = list(own_epochs(params))
    hours = recorded_hours(root, params.run, epochs)
    if not hours:
        return None
    return f"{plural(len(epochs), 'epoch')} more, about {duration(hours * 3600)}: `{longer(params)}`"
