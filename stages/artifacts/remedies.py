"""The command that a refusal names where an artifact is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def remedy(stage: str, run: str | None, epoch: int | str | None) -> str:
    """How to make an artifact again, as the end of a message.

    Args:
        stage: that makes the artifact.
        run: None for the artifact of a data set.
        epoch: number, or "final"; None outside of epochs.
    """
    where = f" --run {run}" if run else ""
    when = f" --epoch {epoch}" if epoch is not None else ""
    return f"make it again with `python -m pipeline rerun {stage}{where}{when}`"
