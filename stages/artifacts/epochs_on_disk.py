"""What a run's epochs hold on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def epochs_with_checkpoint(folder: Path) -> list[int]:
    """Epochs of the run in `folder` that a branch can start from, 0 being the initialised network."""
    found = (path.parent.name for path in (folder / "epochs").glob("*/checkpoint.pt"))
    return sorted(int(name) for name in found if name.isdigit())
