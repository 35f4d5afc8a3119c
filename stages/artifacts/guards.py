"""Why the guard of a pruned epoch is asked to compute: which of the files and keys that it records has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.artifacts.records import pruned_record
from stages.dag.epochs import epochs_with_checkpoint, spans
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.graph import guard_keys
from stages.dag.names import CHECKPOINT, PACK
from stages.parameters.differences import as_option, as_text, unrecorded
from stages.parameters.keys import default_of, has, lookup
from stages.parameters.run import run_params_class


def reason(root: Path, run: str, epoch: int, values: Mapping[str, Any]) -> str:
    """Why DVC wants to compute a pruned epoch again, and what to do, in one line.

    Args:
        values: the run's current parameters, nested as in params.yaml.
    """
    folder = root / epoch_folder(run, epoch)
    entry = pruned_record(folder)
    what = f"epoch {epoch} of run {run} is pruned"
    if entry is None:
        return f"{what} by half: `python -m pipeline prune --run {run}` goes on with it"
    if (difference := changed_key(entry, values)) is not None:
        return f"{what} and {_made_with(root, run, values, *difference)}"
    for item in (*entry.get("outs", []), *entry.get("deps", [])):
        path = (folder / item["path"]).resolve()
        name = os.path.relpath(path, root)
        if not path.exists():
            if path.name == CHECKPOINT and path.parent == folder.resolve():
                return (
                    f"{what}, and {name} is missing, which epoch {epoch + 1} starts from: no stage can make it "
                    f"again and DVC carries no checkpoints; copy it from where the run was made{_or_branch(root, run)}"
                )
            if path.name == CHECKPOINT:
                return f"{what}, and {name} is missing: `dvc repro` makes it again"
            return f"{what}, and {name} is missing: `dvc pull`, or `dvc checkout`, brings it back"
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != item["md5"]:
                other = _or_another_run(path) if path.name == PACK else _or_branch(root, run)
                return f"{what}, and {name} is not what it was made with: restore that file{other}"
    return f"{what}: it cannot be computed again, and nothing asks for it; leave out --force"


def changed_key(entry: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key that differs from the guard's record: its name, its recorded and its current value; else None.

    Args:
        entry: the guard's entry in dvc.lock.
        values: the run's current parameters, nested as in params.yaml.
    """
    recorded = {key: value for params in entry.get("params", {}).values() for key, value in params.items()}
    for key, before in recorded.items():
        now = lookup(values, key) if has(values, key) else None
        if before != now:
            return key, before, now
    for key in unrecorded(guard_keys(recorded), recorded, values):
        return key, default_of(run_params_class(), key), lookup(values, key)
    return None


def _made_with(root: Path, run: str, values: Mapping[str, Any], key: str, before: Any, now: Any) -> str:
    """The words for a changed key or revision, and the ways out."""
    if key.startswith("revision."):
        stage = key.removeprefix("revision.")
        made = f"was made by revision {before} of stages/{stage}.py, not {now}: go back to that code"
        return made + _or_branch(root, run)
    made = f"was made with {key} {as_text(before)}, not {as_text(now)}: restore it in params.yaml"
    return made + _or_branch(root, run, as_option(key, now), values["epochs"])


def _or_another_run(packed: Path) -> str:
    """The advice for pictures that were packed anew, which a branch would have too."""
    return (
        f", or start another run on these pictures: `python -m pipeline run --run NAME --dataset {packed.parent.name}`"
    )


def _or_branch(root: Path, run: str, sets: str = "", last: int = 0) -> str:
    """The advice to branch from the last epoch with a checkpoint, up to epoch `last`; "" where there is none."""
    epochs = epochs_with_checkpoint(root / run_folder(run))
    if not epochs:
        return ""
    further = f" --epochs {last}" if last > epochs[-1] else ""
    command = f"python -m pipeline branch --from {run}@{epochs[-1]} --run NAME{further}{sets}"
    return f", or go on in a new run: `{command}` (epochs with a checkpoint: {spans(epochs)})"
