"""The declaration of a stage that evaluates: what those of all protocols have in common."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from stages.dag.names import CURVE, NUMBERS, PREDICTIONS, RESULT, WEIGHTS
from stages.dag.stage import Read, Stage, Write


def protocol(
    name: str, description: str, keys: type[BaseModel], reads: Mapping[str, Read], *, trains: bool = True
) -> Stage:
    """A stage of place `evaluation`, which reads the run's network.

    Args:
        keys: `EvaluationKeys` of the protocol's parameters.
        reads: what it reads besides the network.
        trains: whether it has a curve.
    """
    curve = {"curve": Write(CURVE)} if trains else {}
    writes = {"predictions": Write(PREDICTIONS), "numbers": Write(NUMBERS, "metrics"), "result": Write(RESULT)}
    return Stage(
        name,
        description,
        place="evaluation",
        reads={"network": Read(WEIGHTS, of="run"), **reads},
        writes=curve | writes,
        keys=keys,
        root_keys=("evaluations.{evaluation}",),
    )
