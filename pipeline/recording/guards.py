"""The guards that dvc.lock files record: which epochs are pruned, and what each keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.recording.lock_files import PREVIOUS, recorded_stages
from stages.artifacts.guards import MARK
from stages.dag.epochs import own_epochs
from stages.dag.folders import epoch_folder
from stages.dag.graph import pruned_node
from stages.dag.nodes import PRUNED, Node
from stages.parameters.run import RunParams


def guards(root: Path, params: RunParams) -> dict[int, Node]:
    """The guard of each epoch that is pruned, as its dvc.lock records it."""
    found = {}
    for epoch in own_epochs(params):
        folder = root / epoch_folder(params.run, epoch)
        # Where a kill cut the lock short, the kept one tells; only what mentions a guard is parsed.
        if any(_mentions_guard(folder / name) for name in ("dvc.lock", PREVIOUS)):
            entry = recorded_stages(folder).get(PRUNED)
            if entry is not None:
                found[epoch] = _recorded_node(params, epoch, entry)
    return found


def _mentions_guard(lock: Path) -> bool:
    try:
        return MARK.encode() in lock.read_bytes()
    except OSError:
        return False


def _recorded_node(params: RunParams, epoch: int, entry: Mapping[str, Any]) -> Node:
    deps = {Path(dep["path"]).name for dep in entry.get("deps", [])}
    outs = {out["path"] for out in entry.get("outs", [])}
    node = pruned_node(params, epoch, network="checkpoint.pt" in deps, checkpoint="checkpoint.pt" in outs)
    keys = (key for values in entry.get("params", {}).values() for key in values)
    return replace(node, params=tuple(keys))
