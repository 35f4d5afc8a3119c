"""A temporary copy of the project in which stages are run as users get them, and timed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from in_process import ROOT, Stages

from pipeline.plan import plan
from pipeline.preparing import Request
from pipeline.recording.engine import Engine
from pipeline.settings import Settings
from stages.artifacts.run_params import load_run_params
from stages.dag.data import dataset_nodes
from stages.dag.folders import run_folder
from stages.dag.graph import epoch_nodes, start_nodes
from stages.parameters.run import RunParams


def copied(folder: Path) -> Path:
    """The project's files as they are, new ones included, with an empty data/."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("data/", "docs/", "tests/")) or not (ROOT / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


class Project(Stages):
    """A copy of the project, whose runs are also planned and recorded with DVC."""

    def __init__(self, folder: Path) -> None:
        super().__init__(copied(folder))

    def start(self, name: str, overrides: dict[str, Any]) -> RunParams:
        """A run that is planned, packed and initialised."""
        self.put(**{f"runs__{name}": overrides})
        plan(self.root, Request(name), self.report)
        params = Settings(self.root).resolve(name)
        with Engine(self.root, name, self.report) as engine:
            engine.provide(dataset_nodes(params.pictures))
            engine.execute(start_nodes(params), params)
        return load_run_params(self.root / run_folder(params.run))

    def epoch(self, params: RunParams) -> float:
        """Seconds of epoch 1 through the engine: six stages, DVC's look, its hashing and recording."""
        nodes = epoch_nodes(params, 1)
        for node in nodes:
            self.forget(node)
        folder = self.root / nodes[0].folder
        for lock in (*folder.glob("dvc.lock*"), *folder.glob(".dvc.lock*")):
            lock.unlink()
        started = time.perf_counter()
        with Engine(self.root, params.run, self.report) as engine:
            count = engine.execute(nodes, params)
        assert count == len(nodes)
        return time.perf_counter() - started

    def timings(self, folder: str) -> list[dict[str, str]]:
        """timings.csv of a run's or data set's folder."""
        with open(self.root / folder / "timings.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def alone(self, node: Any) -> dict[str, str]:
        """Runs a stage as a process of its own, afresh; its line of timings.csv."""
        self.forget(node)
        self.command("python", "-m", f"stages.{node.stage}", str(self.root / node.folder))
        owner = "/".join(Path(node.folder).parts[:3])
        return [row for row in self.timings(owner) if row["stage"] == node.stage][-1]

    def command(self, *words: str) -> float:
        """Seconds of a command in the project; its output is shown where it fails."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(self.root)}
        started = time.perf_counter()
        done = subprocess.run(words, cwd=self.root, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return seconds
