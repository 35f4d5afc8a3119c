"""A temporary copy of the project in which stages are run as users get them, and timed."""

from __future__ import annotations

import csv
import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft
from numpy.typing import NDArray

from pipeline.plan import plan
from pipeline.preparing import Request
from pipeline.recording.engine import Engine
from pipeline.settings import Settings
from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.run_params import load_run_params
from stages.artifacts.tables import write_parquet
from stages.dag.data import dataset_nodes
from stages.dag.folders import run_folder
from stages.dag.graph import epoch_nodes, start_nodes
from stages.parameters.run import RunParams
from stages.runtime.job import data_job, load_dataset_params, run_job
from stages.runtime.report import Reporter
from stages.runtime.runner import execute

ROOT = Path(__file__).parents[1]


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


class Project:
    """A copy of the project; what the stages say goes nowhere."""

    def __init__(self, folder: Path) -> None:
        self.root = copied(folder)
        self._nowhere = open(os.devnull, "w")  # noqa: SIM115
        self.report = Reporter(stream=self._nowhere)

    def put(self, **entries: Any) -> None:
        """Sets keys of params.yaml, with __ for a point."""
        settings = Settings(self.root)
        for key, value in entries.items():
            settings.put(key.replace("__", "."), value)
        settings.save()

    def dataset(self, name: str, folder: Path, size: int = 256, chunk_mib: int = 128) -> None:
        self.put(**{f"datasets__{name}": {"path": str(folder), "size": size, "labels": True, "chunk_mib": chunk_mib}})

    def start(self, name: str, overrides: dict[str, Any]) -> RunParams:
        """A run that is planned, packed and initialised."""
        self.put(**{f"runs__{name}": overrides})
        plan(self.root, Request(name), self.report)
        params = Settings(self.root).resolve(name)
        with Engine(self.root, name, self.report) as engine:
            engine.provide(dataset_nodes(params.pictures))
            engine.execute(start_nodes(params), params)
        return load_run_params(self.root / run_folder(params.run))

    def node(self, params: RunParams, stage: str, epoch: int = 1) -> Any:
        return next(node for node in epoch_nodes(params, epoch) if node.stage == stage)

    def stage(self, params: RunParams, name: str) -> float:
        """Seconds of a stage of epoch 1, publishing included, computed afresh."""
        node = self.node(params, name)
        self.forget(node)
        function = getattr(importlib.import_module(f"stages.{name}"), name)
        started = time.perf_counter()
        execute(function, run_job(self.root, node, params, self.report), params)
        return time.perf_counter() - started

    def packing(self, dataset: str) -> float:
        """Seconds of `pack`, computed afresh."""
        params = load_dataset_params(self.root, dataset)
        node = next(node for node in dataset_nodes(params) if node.stage == "pack")
        self.forget(node)
        function = importlib.import_module("stages.pack").pack
        started = time.perf_counter()
        execute(function, data_job(self.root, node, self.report), None)
        assert params.name == dataset
        return time.perf_counter() - started

    def forget(self, node: Any) -> None:
        """Deletes what a stage wrote."""
        remove(self.root / node.folder / f".partial-{node.stage}")
        for out in node.outs.values():
            remove(self.root / out.path)

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

    def assign(self, params: RunParams, count: int, clusters: int) -> None:
        """assignments.parquet of epoch 1 with random clusters, so that what follows can run."""
        rng = np.random.default_rng(0)
        found = rng.integers(0, clusters, count).astype(np.int32)
        frame = pd.DataFrame({"image": np.arange(count), "cluster": found, "distance": np.zeros(count, np.float32)})
        path = self.root / self.node(params, "cluster").outs["assignments"].path
        write_parquet(path, frame)

    def write_features(self, params: RunParams, rows: int, dim: int) -> Path:
        """features.zarr of epoch 1 with synthetic rows."""
        path = self.root / self.node(params, "extract").outs["features"].path
        remove(path)
        chunk = min(params.extract.chunk_rows, rows)
        out = ChunkWriter(path, (chunk, dim), "float32")
        out.write_all(synthetic(rows, dim, chunk), rows)
        return path


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def synthetic(
    rows: int, dim: int, chunk: int, decades: float = 8, over: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Rows whose variances fall as a power law, `decades` orders of magnitude over `over` components.

    The components are those of a cosine transform with random signs: dense, orthonormal, and quick.
    """
    rng = np.random.default_rng(0)
    fall = decades / np.log10(over or dim)
    scale = (np.arange(1, dim + 1) ** (-fall / 2)).astype(np.float32) * np.float32(dim**0.5)
    signs = rng.choice(np.array([-1, 1], np.float32), dim)
    mean = rng.standard_normal(dim).astype(np.float32)
    for start in range(0, rows, chunk):
        noise = rng.standard_normal((min(chunk, rows - start), dim), np.float32)
        yield (scipy.fft.dct(noise * scale, norm="ortho") * signs + mean).astype(np.float32)
