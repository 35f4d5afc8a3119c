"""Whether the epochs on disk descend from one another: a run that was changed and then stopped holds two kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from stages.artifacts.records import recorded_stages
from stages.dag.epochs import epochs_with
from stages.dag.names import LOCK


class Descent:
    """What the dvc.lock files of a run's epochs say of each other; each is read once as long as it stays the same.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def broken(self) -> list[str]:
        """Folders of epochs, in order, "final" the last, from the first on that was made from files since replaced."""
        folders = [self.run / "epochs" / f"{epoch:04d}" for epoch in epochs_with(self.run, LOCK)]
        folders.append(self.run / "final")
        stages = {folder: self._stages(folder) for folder in folders}
        made = {
            _path(folder, out): out["md5"]
            for folder, entries in stages.items()
            for entry in entries.values()
            for out in entry.get("outs", [])
        }
        for index, folder in enumerate(folders):
            for entry in stages[folder].values():
                for dep in entry.get("deps", []):
                    if made.get(_path(folder, dep), dep["md5"]) != dep["md5"]:
                        return [later.name for later in folders[index:] if stages[later]]
        return []

    def _stages(self, folder: Path) -> dict[str, Any]:
        try:
            written = (folder / LOCK).stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if folder not in self._read or self._read[folder][0] != written:
            self._read[folder] = written, recorded_stages(folder)
        return self._read[folder][1]


def _path(folder: Path, item: dict[str, Any]) -> str:
    return os.path.normpath(folder / item["path"])
