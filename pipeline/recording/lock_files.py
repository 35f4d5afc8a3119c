"""dvc.lock files, read and guarded without DVC: it rewrites them in place, so a kill can cut one short."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from stages.artifacts.documents import parse_generated, render_yaml
from stages.artifacts.records import whole_lock
from stages.artifacts.writing import write_bytes
from stages.dag.names import LOCK, PREVIOUS_LOCK


def keep_lock(folder: Path) -> None:
    """Keeps a copy of the dvc.lock just written: DVC will rewrite it in place."""
    lock = folder / LOCK
    if lock.exists():
        beside = folder / f"{PREVIOUS_LOCK}.new"
        shutil.copyfile(lock, beside)
        os.replace(beside, folder / PREVIOUS_LOCK)


def restore_lock(folder: Path) -> None:
    """Puts the kept dvc.lock back where a kill has cut the current one short."""
    lock = folder / LOCK
    if not lock.exists() or whole_lock(folder) is not None:
        return
    if (folder / PREVIOUS_LOCK).exists():
        beside = folder / "dvc.lock.new"
        shutil.copyfile(folder / PREVIOUS_LOCK, beside)
        os.replace(beside, lock)
    else:
        lock.unlink()


def keep_entry(folder: Path, stage: str) -> None:
    """Drops every entry of a dvc.lock but that of `stage`."""
    lock = folder / LOCK
    content = parse_generated(lock.read_bytes())
    if set(content["stages"]) != {stage}:
        content["stages"] = {stage: content["stages"][stage]}
        write_bytes(lock, render_yaml(content).encode())
