"""Which epochs stay whole (`retain`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.parameters.retain import RetainParams
from stages.parameters.run import RunParams

if TYPE_CHECKING:
    pass


def stays_whole(retain: RetainParams, epoch: int, newest: int) -> bool:
    """Whether an epoch keeps everything once `newest` is finished."""
    if retain.last is None or epoch > newest - retain.last:
        return True
    return retain.every > 0 and epoch % retain.every == 0


def described(params: RunParams) -> str:
    """The policy in words."""
    retain = params.retain
    if retain.last is None:
        return "every epoch stays whole"
    every = f" and each {retain.every}th" if retain.every else ""
    return f"the last {retain.last}{every} stay whole"
