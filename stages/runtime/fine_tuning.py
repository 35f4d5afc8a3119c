"""Steps of SGD of a network that an evaluation trains, resumed after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from stages.errors import Refusal
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.save_points import SavePoints

B = TypeVar("B")

CHECK_EVERY = 20
"""Steps between two looks at the losses, which makes a GPU wait."""


class Learner(Protocol):
    """What is trained: it can be saved, and go on as if it had not stopped."""

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


def fine_tune(
    job: Job[Any], learner: Learner, steps: int, load: Callable[[int], B], step: Callable[[B], Any]
) -> list[float]:
    """Trains, and gives the loss of each step.

    Args:
        steps: how many.
        load: the batch of a step, by its number alone; called ahead, in threads.
        step: trains on a batch; its loss, perhaps still on the device.

    Raises:
        Refusal: a loss is not finite.
    """
    points = SavePoints(job)
    losses: list[Any] = []
    if (state := points.load()) is not None:
        learner.load(state["learner"])
        losses = state["losses"]
        job.say(f"goes on at iteration {len(losses)} of {steps}")
    done = len(losses)
    batches = prefetch(load, range(done, steps), job.workers)
    for number, batch in enumerate(job.progress(batches, steps - done), start=done):
        losses.append(step(batch))
        if (number + 1) % CHECK_EVERY == 0 or number + 1 == steps:
            losses = _looked_at(losses)
            points.offer(partial(_state, learner, losses))
    return losses


def _looked_at(losses: list[Any]) -> list[float]:
    values = [float(loss) for loss in losses]
    for number, value in enumerate(values):
        if not math.isfinite(value):
            raise Refusal(f"iteration {number}: the loss is {value}; nothing was published; lower the evaluation's lr")
    return values


def _state(learner: Learner, losses: list[float]) -> dict[str, Any]:
    return {"learner": learner.state(), "losses": losses}
