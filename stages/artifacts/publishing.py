"""How the artifacts of a stage come to be under their final names, whole or not at all.

FOLDER/.partial-STAGE/        what the stage is writing, and its save points
FOLDER/.partial-STAGE/old/    a folder that is being replaced, until its successor is in place
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from stages.artifacts.writing import make_folder, write_bytes

FAILED = "failed.json"


class Partial:
    """The folder beside a stage's outputs in which they are written."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder = folder
        self.path = folder / f".partial-{stage}"

    def recover(self) -> None:
        """Undoes a kill between the two renames that replace a folder."""
        old = self.path / "old"
        if old.is_dir():
            for item in old.iterdir():
                target = self.folder / item.name
                if not target.exists():
                    os.rename(item, target)
            shutil.rmtree(old)

    def begin(self, key: str) -> None:
        """Opens the folder; what an attempt with another `key` left there is dropped.

        Args:
            key: digest of everything that the stage's result depends on, so that save points
                are taken up only where they lead to the same bytes.
        """
        self.recover()
        mark = self.path / "key"
        if not mark.exists() or mark.read_text() != key:
            if self.path.exists():
                shutil.rmtree(self.path)
            make_folder(self.path)
            write_bytes(mark, key.encode())
        (self.path / FAILED).unlink(missing_ok=True)

    def fail(self, message: str) -> None:
        """Leaves a mark for `pipeline status`; on a full disk the mark may be missing."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / FAILED).write_text(json.dumps({"error": message}))
        except OSError:
            pass

    def publish(self, names: list[str]) -> None:
        """Renames the finished artifacts to their final names, in the order given, and clears up."""
        for name in names:
            source, target = self.path / name, self.folder / name
            make_folder(target.parent)
            if target.is_dir() and not target.is_symlink():
                old = self.path / "old"
                make_folder(old)
                make_folder((old / name).parent)
                os.rename(target, old / name)
            os.replace(source, target)
        shutil.rmtree(self.path)


def failure(folder: Path, stage: str) -> str | None:
    """Why the last attempt at a stage failed, or None."""
    try:
        return str(json.loads((folder / f".partial-{stage}" / FAILED).read_text())["error"])
    except (OSError, ValueError, KeyError):
        return None
