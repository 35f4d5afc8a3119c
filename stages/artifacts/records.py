"""Reads dvc.lock files without DVC: what was made and from what, and which epochs are pruned.

DVC rewrites a dvc.lock in place, so a kill can cut it short. The pipeline therefore keeps the one before as
`names.PREVIOUS_LOCK` in the same folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.artifacts.documents import parse_generated
from stages.dag.epochs import epochs_with
from stages.dag.names import LOCK, PREVIOUS_LOCK
from stages.dag.nodes import PRUNED

GUARD_COMMAND = f"python -m stages.{PRUNED} ."
"""Command of a guard in dvc.yaml and dvc.lock."""


def pruned_record(folder: Path) -> dict[str, Any] | None:
    """The guard's entry in the dvc.lock of an epoch's folder; None where the epoch is not pruned."""
    # Files that do not mention a guard, as most, are not parsed.
    if not any(mentions_guard(folder / name) for name in (LOCK, PREVIOUS_LOCK)):
        return None
    return recorded_stages(folder).get(PRUNED)


def whole_epochs(run: Path) -> list[int]:
    """Epochs of the run in the folder `run` that are finished, pruned or not, in order; another is at most begun."""
    return [epoch for epoch in epochs_with(run, LOCK) if _is_whole(run / "epochs" / f"{epoch:04d}")]


def _is_whole(folder: Path) -> bool:
    # A look at the text is enough, and a run may have hundreds.
    try:
        return b"\n  checkpoint:\n" in (folder / LOCK).read_bytes() or pruned_record(folder) is not None
    except OSError:
        return False


def mentions_guard(path: Path) -> bool:
    """Whether a dvc.yaml or dvc.lock holds a guard; False where it cannot be read."""
    try:
        return GUARD_COMMAND.encode() in path.read_bytes()
    except OSError:
        return False


def recorded_stages(folder: Path) -> dict[str, Any]:
    """The entries of a folder's dvc.lock by stage, or of the previous one where it is cut short; {} without either."""
    if not (folder / LOCK).exists():
        return {}
    found = whole_lock(folder)
    return found if found is not None else readable_lock(folder / PREVIOUS_LOCK) or {}


def whole_lock(folder: Path) -> dict[str, Any] | None:
    """The entries of a folder's dvc.lock by stage, or None where it is cut short."""
    lock, previous = folder / LOCK, folder / PREVIOUS_LOCK
    stages = readable_lock(lock)
    # A lock that is cut short may still be valid, with fewer files: then the previous one begins with the same bytes.
    if stages is None or not previous.exists() or previous.stat().st_size <= lock.stat().st_size:
        return stages
    return None if previous.read_bytes().startswith(lock.read_bytes()) else stages


def readable_lock(path: Path) -> dict[str, Any] | None:
    """The entries of the file `path` by stage, or None where it is missing or no whole dvc.lock."""
    try:
        text = path.read_bytes()
        content = parse_generated(text)
    except Exception:
        # A damaged file may hold anything: no YAML, a key that is no scalar, a node that contains itself.
        return None
    if not text.endswith(b"\n") or not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
        return None
    # A file that was cut at the end of a line is still valid YAML, but DVC fails on it with a traceback.
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
