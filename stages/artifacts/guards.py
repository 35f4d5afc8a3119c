"""What the guard of a pruned epoch records, and why it is asked to compute."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.artifacts.documents import load_yaml
from stages.artifacts.epochs_on_disk import epochs_with_checkpoint
from stages.dag.epochs import spans
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.parameters.keys import lookup, same

MARK = f"python -m stages.{PRUNED} ."


def record(folder: Path) -> dict[str, Any] | None:
    """The guard's entry in an epoch's dvc.lock; None where the epoch is not pruned."""
    lock = folder / "dvc.lock"
    try:
        # Only what mentions a guard is parsed: most epochs of most runs have none.
        if MARK.encode() not in lock.read_bytes():
            return None
        entry = load_yaml(lock)["stages"].get(PRUNED)
    except (OSError, Refusal, KeyError, AttributeError):
        return None
    return entry if isinstance(entry, dict) else None


def reason(root: Path, run: str, epoch: int, values: Mapping[str, Any]) -> str:
    """Why a pruned epoch would have to be computed again, and the way out, in one line.

    Args:
        values: the run's parameters that now hold.
    """
    folder = root / epoch_folder(run, epoch)
    entry = record(folder)
    what = f"epoch {epoch} of run {run} is pruned"
    if entry is None:
        return f"{what} by half: `python -m pipeline prune --run {run}` goes on with it"
    if (difference := changed_key(entry, values)) is not None:
        return f"{what} and {_made_with(root, run, *difference)}"
    for item in (*entry.get("outs", []), *entry.get("deps", [])):
        path = (folder / item["path"]).resolve()
        name = os.path.relpath(path, root)
        if not path.exists():
            if path.name == "checkpoint.pt" and path.parent == folder.resolve():
                return (
                    f"{what}, and {name} is missing, which epoch {epoch + 1} starts from: no stage can make it "
                    f"again and DVC carries no checkpoints; copy it from where the run was made{_or_branch(root, run)}"
                )
            if path.name == "checkpoint.pt":
                return f"{what}, and {name} is missing: `dvc repro` makes it again"
            return f"{what}, and {name} is missing: `dvc pull`, or `dvc checkout`, brings it back"
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != item["md5"]:
                return f"{what}, and {name} is not what it was made with: restore that file{_or_branch(root, run)}"
    return f"{what}: it cannot be computed again, and nothing asks for it; leave out --force"


def changed_key(entry: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key that differs from the guard's record: its name, the recorded value, the one that now holds."""
    for recorded in entry.get("params", {}).values():
        for key, before in recorded.items():
            try:
                now = lookup(values, key)
            except (KeyError, TypeError):
                now = None
            if not same(before, now):
                return _leaf(key, before, now)
    return None


def _leaf(key: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            if not same(before.get(name), now.get(name)):
                return _leaf(f"{key}.{name}", before.get(name), now.get(name))
    return key, before, now


def _made_with(root: Path, run: str, key: str, before: Any, now: Any) -> str:
    if key.startswith("revision."):
        stage = key.removeprefix("revision.")
        made = f"was made by revision {before} of stages/{stage}.py, not {now}: go back to that code"
        return made + _or_branch(root, run)
    made = f"was made with {key} {_text(before)}, not {_text(now)}: restore it in params.yaml"
    return made + _or_branch(root, run, f" --set {key}={_text(now)}")


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _or_branch(root: Path, run: str, sets: str = "") -> str:
    epochs = epochs_with_checkpoint(root / run_folder(run))
    if not epochs:
        return ""
    return f", or go on in a new run: `python -m pipeline branch --from {run}@{epochs[-1]} --run NAME{sets}`" + (
        f" (epochs with a checkpoint: {spans(epochs)})"
    )
