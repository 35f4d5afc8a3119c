"""The command that a refusal names where an artifact is missing or damaged."""

from __future__ import annotations

from pathlib import Path


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


def maker(path: Path) -> str:
    """What makes an artifact, or tells which stage does, by the folder of the run or data set that it lies in."""
    parts = path.parts
    for place in range(len(parts) - 3, -1, -1):
        if parts[place : place + 2] == ("data", "runs"):
            return f"`python -m pipeline status --run {parts[place + 2]}` says which stage makes it"
        if parts[place : place + 2] == ("data", "images"):
            return f"`python -m pipeline rerun pack --dataset {parts[place + 2]}` makes it"
        if parts[place : place + 2] == ("data", "evaluation"):
            return f"`python -m pipeline rerun {parts[place + 2]} --run RUN` makes it, of a run that is measured on it"
    return "restore it with git"
