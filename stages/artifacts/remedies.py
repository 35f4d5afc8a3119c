"""What to do where an artifact is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def remedy(stage: str, run: str | None, epoch: int | str | None) -> str:
    """The command that makes a damaged artifact again."""
    where = f" --run {run}" if run else ""
    when = f" --epoch {epoch}" if epoch is not None else ""
    return f"make it again with `python -m pipeline rerun {stage}{where}{when}`"
