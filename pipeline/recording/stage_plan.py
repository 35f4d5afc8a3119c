"""Puts stages into the dvc.yaml of their folder one at a time, when they are made.

What is planned and not recorded spoils DVC for the whole project: `dvc checkout` and `dvc exp apply` end with 255, and
`dvc status` prints thousands of lines. So `run` plans a stage immediately before it is recorded.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.recording.dvc_yaml import render, stage_entry
from stages.artifacts.documents import load_yaml
from stages.artifacts.plans import planned_stages
from stages.artifacts.writing import write_bytes
from stages.dag.declared import declared
from stages.dag.names import PLAN
from stages.dag.nodes import Node
from stages.errors import Refusal


class StagePlan:
    """The dvc.yaml files of a project as they lie there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: tuple[str, int, dict[str, Any] | None] | None = None

    def holds(self, node: Node) -> bool:
        """Whether a stage is planned with the command, the inputs and the outputs that it has today.

        True in a folder whose dvc.yaml is damaged: that is for DVC to say.

        Raises:
            Refusal: the root's dvc.yaml is damaged.
        """
        if node.folder == ".":
            return self._root_stages().get(node.stage) == stage_entry(node)
        stages = self._stages(node.folder)
        if stages is None:
            return True
        entry = stages.get(node.stage)
        return entry is not None and _files(entry) == _files(stage_entry(node))

    def add(self, node: Node) -> None:
        """Plans a stage, where it is not planned like this already."""
        if self.holds(node):
            return
        if node.folder == ".":
            self._add_to_root(node)
            return
        entries = (self._stages(node.folder) or {}) | {node.stage: stage_entry(node)}
        order = [name for name in declared() if name in entries]
        path = self.root / node.folder / PLAN
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, render(node.folder, {name: entries[name] for name in order}).encode())

    def _add_to_root(self, node: Node) -> None:
        """The root's dvc.yaml is a person's: their stages and comments stay."""
        path = self.root / PLAN
        editor = YAML()
        editor.width, editor.preserve_quotes = sys.maxsize, True
        content = editor.load(path.read_text(encoding="utf-8")) if path.exists() else {}
        if content.get("stages") is None:
            content["stages"] = {}
        if not isinstance(content["stages"].get(node.stage), dict):
            content["stages"][node.stage] = {}
        entry, wanted = content["stages"][node.stage], stage_entry(node)
        for key in [key for key in entry if key not in wanted]:
            del entry[key]
        # Key by key: to ruamel a comment below a stage belongs to the stage's last value.
        for key, value in wanted.items():
            if entry.get(key) != value:
                entry[key] = value
        text = io.StringIO()
        editor.dump(content, text)
        write_bytes(path, text.getvalue().encode())

    def _root_stages(self) -> dict[str, Any]:
        """What the root's dvc.yaml plans, which a person may have edited.

        Raises:
            Refusal: it is damaged.
        """
        path = self.root / PLAN
        if not path.exists():
            return {}
        stages = load_yaml(path).get("stages") or {}
        if not isinstance(stages, dict):
            raise Refusal(f"{path}: stages must be a section of stages by name: mend it, or restore it with git")
        return stages

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
    return entry.get("cmd"), set(entry.get("deps", [])), outputs(entry)


def outputs(entry: Mapping[str, Any]) -> set[str]:
    """The names of the outputs of a stage's entry in a dvc.yaml."""
    outs = [*entry.get("outs", []), *entry.get("metrics", [])]
    return {out if isinstance(out, str) else next(iter(out)) for out in outs}
