"""What several tests of the pipeline share."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import PARAMS, Project

from pipeline.recording.inspector import Inspector, project_nodes
from stages.dag.nodes import Node
from stages.dag.revisions import revisions
from stages.parameters.resolution import resolve_run
from stages.parameters.run import RunParams
from stages.runtime.report import Reporter


def content_of(root: Path = PARAMS.parent) -> dict[str, Any]:
    """The content of a project's params.yaml; by default that of the tests' own."""
    return yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))


def changed(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of params.yaml's content with one dotted key set."""
    content = copy.deepcopy(content)
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    return content


def params_of(root: Path, run: str = "demo") -> RunParams:
    return resolve_run(content_of(root), run, revisions())


def comparable(params: RunParams) -> dict[str, Any]:
    return params.model_dump(exclude={"run", "branch"})


def node_of(params: RunParams, where: str) -> Node:
    """The node whose id ends with `where`, such as "0001:train"."""
    (node,) = [node for node in project_nodes(params) if node.id.endswith(where)]
    return node


def states_of(root: Path, params: RunParams, nodes: list[Node] | None = None) -> dict[str, tuple[str, str]]:
    """State and reason of each node by itself, whatever lies before it."""
    inspector = Inspector(root, params)
    found = {node.id: inspector.state(node) for node in nodes or project_nodes(params)}
    return {name: (status.state, status.why) for name, status in found.items()}


def stale(root: Path, content: dict[str, Any], revision: dict[str, int] | None = None) -> set[str]:
    """Stages that are out of date by themselves when params.yaml holds `content`, besides resolve."""
    nodes = project_nodes(params_of(root))
    states = states_of(root, resolve_run(content, "demo", revision or revisions()), nodes)
    return {name for name, (state, _) in states.items() if state != "done"} - {"data/runs/demo:resolve"}


def flip_byte(path: Path) -> None:
    """Changes one byte in the middle, keeping size and modification time, as a bad disk does."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@dataclass
class Ended:
    """How a command line ended."""

    status: int
    out: str
    err: str


class CommandLine:
    """`python -m pipeline` in this process, as a shell would see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, root: Path, *words: str | Path) -> Ended:
        from pipeline.cli.commands import main

        self.monkeypatch.chdir(root)
        self.monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, words)])
        self.capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = self.capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    def refused(self, root: Path, *words: str | Path) -> str:
        """The one line on stderr of a command that must be refused."""
        ended = self(root, *words)
        assert ended.status == 1, ended
        assert ended.err.count("\n") == 1 and ended.err.endswith("\n"), ended.err
        assert "Traceback" not in ended.err
        return ended.err.rstrip("\n")


def unlink(*paths: Path) -> None:
    import shutil

    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def quiet() -> Reporter:
    import io

    return Reporter(stream=io.StringIO())


def planned_files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted((root / "data").rglob("dvc.yaml"))}


def as_on_a_folder(project: Project, pictures: Path) -> None:
    """Makes a finished demo what it would be had its pictures been a user's, in the folder `pictures`."""
    entry = content_of(project.root)["datasets"]["demo"] | {"path": str(pictures)}
    del entry["generate"]
    lock = project.path("data/images/demo/dvc.lock")
    content = yaml.safe_load(lock.read_text())
    del content["stages"]["generate"]
    stage = content["stages"]["pack"]
    stage.pop("deps", None)
    for name, values in stage["params"].items():
        if name.endswith("params.yaml"):
            values["datasets.demo"] = entry
    lock.write_text(yaml.safe_dump(content))
    settings = content_of(project.root)
    settings["datasets"]["demo"] = entry
    project.path("params.yaml").write_text(yaml.safe_dump(settings))
    listing = project.path("data/images/demo/listing.json")
    listing.write_text(json.dumps(json.loads(listing.read_text()) | {"path": str(pictures)}))
