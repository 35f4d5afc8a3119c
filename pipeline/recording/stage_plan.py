"""Puts stages into the dvc.yaml of their folder one at a time, when they are made.

What is planned and not recorded spoils DVC for the whole project: `dvc checkout` and `dvc exp apply` end with 255, and
`dvc status` prints thousands of lines. So `run` plans a stage immediately before it is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.recording.dvc_yaml import render, stage_entry
from stages.artifacts.plans import planned_stages
from stages.artifacts.writing import write_bytes
from stages.dag.declared import declared
from stages.dag.names import PLAN
from stages.dag.nodes import Node


class StagePlan:
    """The dvc.yaml files of a run and its data set as they lie there.

    Args:
        dataset: name of the data set.
    """

    def __init__(self, root: Path, dataset: str) -> None:
        self.root, self.dataset = root, dataset
        self._last: tuple[str, int, dict[str, Any] | None] | None = None

    def holds(self, node: Node) -> bool:
        """Whether a stage is planned with the command, the inputs and the outputs that it has today.

        True in a folder whose dvc.yaml is written by hand, or damaged: that is for DVC to say.
        """
        stages = self._stages(node.folder)
        if node.folder == "." or stages is None:
            return True
        entry = stages.get(node.stage)
        return entry is not None and _files(entry) == _files(stage_entry(node, self.dataset))

    def add(self, node: Node) -> None:
        """Plans a stage, where it is not planned like this already."""
        if self.holds(node):
            return
        entries = (self._stages(node.folder) or {}) | {node.stage: stage_entry(node, self.dataset)}
        order = [name for name in declared() if name in entries]
        path = self.root / node.folder / PLAN
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, render(node.folder, {name: entries[name] for name in order}).encode())

    def _stages(self, folder: str) -> dict[str, Any] | None:
        """What a folder's dvc.yaml plans: nothing where there is none, None where it cannot be read."""
        try:
            written = os.stat(self.root / folder / PLAN).st_mtime_ns
        except OSError:
            return {}
        if self._last is None or self._last[:2] != (folder, written):
            self._last = folder, written, planned_stages(self.root / folder)
        return self._last[2]


def _files(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    outs = [*entry.get("outs", []), *entry.get("metrics", [])]
    names = {out if isinstance(out, str) else next(iter(out)) for out in outs}
    return entry.get("cmd"), set(entry.get("deps", [])), names
