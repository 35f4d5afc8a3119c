"""Which epochs of a run are pruned, and which files each of them keeps, as their dvc.lock files record it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.artifacts.records import pruned_record
from stages.dag.epochs import own_epochs
from stages.dag.folders import epoch_folder
from stages.dag.graph import pruned_node
from stages.dag.nodes import Node
from stages.parameters.run import RunParams


def guards(root: Path, params: RunParams) -> dict[int, Node]:
    """By epoch, the guard of each pruned one, with the inputs, outputs and keys that its dvc.lock records."""
    entries = {epoch: pruned_record(root / epoch_folder(params.run, epoch)) for epoch in own_epochs(params)}
    return {epoch: _recorded_node(params, epoch, entry) for epoch, entry in entries.items() if entry is not None}


def _recorded_node(params: RunParams, epoch: int, entry: Mapping[str, Any]) -> Node:
    node = pruned_node(params, epoch, network=True, checkpoint=True)
    names = {item["path"] for item in (*entry.get("deps", []), *entry.get("outs", []))}
    deps = {role: path for role, path in node.deps.items() if os.path.relpath(path, node.folder) in names}
    outs = {role: out for role, out in node.outs.items() if os.path.relpath(out.path, node.folder) in names}
    keys = (key for values in entry.get("params", {}).values() for key in values)
    return replace(node, deps=deps, outs=outs, keys=tuple(keys))
