"""dvc.lock files, read and guarded without DVC: it rewrites them in place, so a kill can cut one short."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

PREVIOUS = ".dvc.lock.previous"


def keep_lock(folder: Path) -> None:
    """Keeps the current dvc.lock beside: DVC rewrites it in place."""
    lock = folder / "dvc.lock"
    if lock.exists():
        beside = folder / f"{PREVIOUS}.new"
        shutil.copyfile(lock, beside)
        os.replace(beside, folder / PREVIOUS)


def restore_lock(folder: Path) -> None:
    """Puts the kept dvc.lock back where a kill has cut the current one short."""
    lock, previous = folder / "dvc.lock", folder / PREVIOUS
    if not lock.exists() or readable_lock(lock) is not None:
        return
    if previous.exists():
        os.replace(previous, lock)
    else:
        lock.unlink()


def readable_lock(path: Path) -> dict[str, Any] | None:
    """The stages of a dvc.lock, or None where it is missing or cut short."""
    try:
        content = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    except (OSError, yaml.YAMLError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
        return None
    # Cut at the end of a line it is valid YAML still, which DVC refuses with a traceback.
    return content["stages"] if all(map(_whole, content["stages"].values())) else None


def _whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str):
        return False
    files = [entry[key] for key in ("deps", "outs") if key in entry]
    params = entry.get("params", {})
    return (
        all(isinstance(found, list) for found in files)
        and all(map(_whole_file, (item for found in files for item in found)))
        and isinstance(params, dict)
        and all(isinstance(values, dict) for values in params.values())
    )


def _whole_file(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and {"path", "md5"} <= item.keys()
        and all(isinstance(item.get(count, 0), int) for count in ("size", "nfiles"))
    )
