"""dvc.lock files, read and guarded without DVC: it rewrites them in place, so a kill can cut one short."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from stages.artifacts.writing import write_bytes

PREVIOUS = ".dvc.lock.previous"


def keep_lock(folder: Path) -> None:
    """Keeps a copy of the dvc.lock just written: DVC will rewrite it in place."""
    lock = folder / "dvc.lock"
    if lock.exists():
        beside = folder / f"{PREVIOUS}.new"
        shutil.copyfile(lock, beside)
        os.replace(beside, folder / PREVIOUS)


def restore_lock(folder: Path) -> None:
    """Puts the kept dvc.lock back where a kill has cut the current one short."""
    lock = folder / "dvc.lock"
    if not lock.exists() or _whole_lock(folder) is not None:
        return
    if (folder / PREVIOUS).exists():
        beside = folder / "dvc.lock.new"
        shutil.copyfile(folder / PREVIOUS, beside)
        os.replace(beside, lock)
    else:
        lock.unlink()


def keep_entry(folder: Path, stage: str) -> None:
    """Drops every entry of a dvc.lock but that of `stage`."""
    lock = folder / "dvc.lock"
    content = yaml.load(lock.read_bytes(), yaml.CSafeLoader)
    if set(content["stages"]) != {stage}:
        content["stages"] = {stage: content["stages"][stage]}
        write_bytes(lock, yaml.safe_dump(content, sort_keys=False).encode())


def recorded_stages(folder: Path) -> dict[str, Any]:
    """What a folder's dvc.lock records, or the kept one where it is cut short; by stage."""
    if not (folder / "dvc.lock").exists():
        return {}
    found = _whole_lock(folder)
    return found if found is not None else readable_lock(folder / PREVIOUS) or {}


def _whole_lock(folder: Path) -> dict[str, Any] | None:
    """The stages of a folder's dvc.lock, or None where it is cut short."""
    lock, previous = folder / "dvc.lock", folder / PREVIOUS
    stages = readable_lock(lock)
    # What is left may be a valid lock of fewer files: then it is the beginning of the kept one.
    if stages is None or not previous.exists() or previous.stat().st_size <= lock.stat().st_size:
        return stages
    return None if previous.read_bytes().startswith(lock.read_bytes()) else stages


class _Loader(yaml.CSafeLoader):
    """yaml's, without what it does for YAML's rarer forms: a run of 500 epochs has as many locks to read."""

    def construct_document(self, node: yaml.Node) -> Any:
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        if isinstance(node, yaml.MappingNode):
            return {self.construct_document(key): self.construct_document(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self.construct_document(value) for value in node.value]
        return self.construct_object(node)


def readable_lock(path: Path) -> dict[str, Any] | None:
    """The stages of a dvc.lock, or None where it is missing or cut short."""
    try:
        text = path.read_bytes()
        content = yaml.load(text, _Loader)
    except Exception:
        # Whatever a damaged file holds in place of a lock: no YAML, a key that is no scalar, a node within itself.
        return None
    if not text.endswith(b"\n") or not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
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
