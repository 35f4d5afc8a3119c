"""Ends a run before an epoch that is begun: what of it was clustered becomes final/'s, where it is the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.recording.dvc_yaml import render, stage_entry
from pipeline.recording.inspector import Inspector
from pipeline.recording.recorded_files import final_is_current
from stages.artifacts.records import recorded_stages
from stages.artifacts.writing import make_folder, remove, write_bytes
from stages.dag.epochs import epochs_with, spans
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.graph import epoch_nodes, final_nodes
from stages.dag.names import LOCK, PLAN, PREVIOUS_LOCK
from stages.dag.nodes import Node
from stages.parameters.run import RunParams


def end_earlier(root: Path, params: RunParams) -> str | None:
    """Drops the epochs beyond the last that were begun, none of them whole; what was done, in one line."""
    beyond = [epoch for epoch in epochs_with(root / run_folder(params.run), "") if epoch > params.epochs]
    begun = [epoch for epoch in beyond if _is_begun(root / epoch_folder(params.run, epoch))]
    if not begun:
        return None
    taken = _give_to_final(root, params) if begun[0] == params.epochs + 1 else []
    for epoch in begun:
        shutil.rmtree(root / epoch_folder(params.run, epoch))
    kept = f"; what it was clustered by ({', '.join(node.stage for node in taken)}) is final/'s" if taken else ""
    return f"epoch {spans(begun)} of run {params.run} was begun and is dropped{kept}"


def _is_begun(folder: Path) -> bool:
    """Whether more than a plan lies there, be it a part of what a stage was writing."""
    return any(path.name != PLAN for path in folder.iterdir())


def _give_to_final(root: Path, params: RunParams) -> list[Node]:
    """Moves the recorded clustering of epoch N + 1 into final/, with its record; the stages of final/ that it makes."""
    if final_is_current(root, params):
        return []
    epoch = params.epochs + 1
    longer = params.model_copy(update={"epochs": epoch})
    finals = {node.stage: node for node in final_nodes(params)}
    inspector = Inspector(root, longer)
    source, target = epoch_folder(params.run, epoch), epoch_folder(params.run, "final")
    recorded = recorded_stages(root / source)
    taken: list[Node] = []
    otherwise = params.final.model_dump(exclude_none=True)
    for node in epoch_nodes(longer, epoch):
        if node.stage not in finals or inspector.state(node).state != "done" or otherwise.get(node.stage):
            break
        taken.append(finals[node.stage])
    if taken:
        make_folder(root / target)
        for name in (LOCK, PREVIOUS_LOCK):
            # The one before would be taken for the whole of which the new one is the beginning.
            (root / target / name).unlink(missing_ok=True)
        for node in taken:
            for out in node.outs.values():
                remove(root / out.path)
                os.rename(root / source / Path(out.path).name, root / out.path)
        lock = {"schema": "2.0", "stages": {n.stage: _moved(recorded[n.stage], source, n) for n in taken}}
        write_bytes(root / target / LOCK, yaml.safe_dump(lock, sort_keys=False).encode())
        entries = {node.stage: stage_entry(node) for node in taken}
        write_bytes(root / target / PLAN, render(target, entries).encode())
    return taken


def _moved(entry: Mapping[str, Any], source: str, to: Node) -> dict[str, Any]:
    """The record of a stage in the folder `source` as that of the same stage in final/."""
    target = to.folder
    # None of them says otherwise, or the stage would not be taken.
    own = {key: None for key in to.keys if key.startswith("final.")}

    def path(name: str) -> str:
        full = os.path.normpath(f"{source}/{name}")
        return name if os.path.dirname(full) == source else os.path.relpath(full, target)

    moved: dict[str, Any] = dict(entry)
    for kind in ("deps", "outs"):
        if kind in entry:
            moved[kind] = [{**item, "path": path(item["path"])} for item in entry[kind]]
    if "params" in entry:
        moved["params"] = {path(name): values | own for name, values in entry["params"].items()}
    return moved
