"""Stages run one at a time in this process, as `pipeline run` executes them, in a folder and without DVC."""

from __future__ import annotations

import importlib
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft
from numpy.typing import NDArray

from pipeline.settings import Settings
from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.documents import load_json, write_json
from stages.artifacts.run_params import load_run_params, render
from stages.artifacts.tables import read_parquet, write_parquet
from stages.artifacts.writing import make_folder, write_bytes
from stages.dag.data import dataset_nodes
from stages.dag.folders import dataset_folder, run_folder
from stages.dag.graph import epoch_nodes, final_nodes, start_nodes
from stages.dag.names import MANIFEST, PACK, PARAMS, PIXELS
from stages.parameters.run import RunParams
from stages.runtime.job import data_job, load_dataset_params, run_job
from stages.runtime.report import Reporter
from stages.runtime.runner import execute

ROOT = Path(__file__).parents[1]


class Stages:
    """A folder with this project's params.yaml in which stages run; what they say is not shown."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        if not (root / PARAMS).exists():
            shutil.copy2(ROOT / PARAMS, root)
        self.report = Reporter(stream=io.StringIO())
        self._resolved: dict[tuple[str, str], bytes] = {}

    def put(self, **entries: Any) -> None:
        """Sets keys of params.yaml, with __ for a point."""
        settings = Settings(self.root)
        for key, value in entries.items():
            settings.put(key.replace("__", "."), value)
        settings.save()

    def dataset(self, name: str, folder: Path, size: int = 256, chunk_mib: int = 128) -> None:
        self.put(**{f"datasets__{name}": {"path": str(folder), "size": size, "labels": True, "chunk_mib": chunk_mib}})

    def begin(self, name: str, overrides: dict[str, Any], *, network: bool = True) -> RunParams:
        """A run with these parameters, resolved as the stage `resolve` does, and its network.

        Called again, it is given other parameters, and keeps its network.

        Args:
            network: whether it needs one.
        """
        key = name, repr(overrides)
        if key not in self._resolved:
            self.put(**{f"runs__{name}": overrides})
            self._resolved[key] = render(Settings(self.root).resolve(name))
        make_folder(self.root / run_folder(name))
        write_bytes(self.root / run_folder(name) / PARAMS, self._resolved[key])
        params = load_run_params(self.root / run_folder(name))
        init = next(node for node in start_nodes(params) if node.stage == "init")
        if network and not all((self.root / out.path).exists() for out in init.outs.values()):
            self.execute(init, params)
        return params

    def node(self, params: RunParams, stage: str, epoch: int = 1) -> Any:
        return next(node for node in epoch_nodes(params, epoch) if node.stage == stage)

    def execute(self, node: Any, params: RunParams | None) -> float:
        """Seconds of a stage, publishing included, computed afresh.

        Args:
            params: those of its run; None for a stage of a data set.
        """
        self.forget(node)
        function = getattr(importlib.import_module(f"stages.{node.stage}"), node.stage)
        started = time.perf_counter()
        if params is None:
            execute(function, data_job(self.root, node, self.report), None)
        else:
            execute(function, run_job(self.root, node, params, self.report), params)
        return time.perf_counter() - started

    def stage(self, params: RunParams, name: str) -> float:
        """Seconds of a stage of epoch 1, computed afresh."""
        return self.execute(self.node(params, name), params)

    def packing(self, dataset: str) -> float:
        """Seconds of `pack`, computed afresh."""
        nodes = dataset_nodes(load_dataset_params(self.root, dataset))
        return self.execute(next(node for node in nodes if node.stage == "pack"), None)

    def whole(self, params: RunParams) -> float:
        """Seconds of all epochs and of final/, from pictures that are packed."""
        nodes = [node for epoch in range(1, params.epochs + 1) for node in epoch_nodes(params, epoch)]
        return sum(self.execute(node, params) for node in [*nodes, *final_nodes(params)])

    def drop(self, params: RunParams) -> None:
        """Deletes all that a run has written."""
        remove(self.root / run_folder(params.run))

    def forget(self, node: Any) -> None:
        """Deletes what a stage wrote."""
        remove(self.root / node.folder / f".partial-{node.stage}")
        for out in node.outs.values():
            remove(self.root / out.path)

    def assign(self, params: RunParams, count: int, clusters: int) -> None:
        """assignments.parquet of epoch 1 with random clusters, so that what follows can run."""
        rng = np.random.default_rng(0)
        found = rng.integers(0, clusters, count).astype(np.int32)
        frame = pd.DataFrame({"image": np.arange(count), "cluster": found, "distance": np.zeros(count, np.float32)})
        path = self.root / self.node(params, "cluster").outs["assignments"].path
        make_folder(path.parent)
        write_parquet(path, frame)

    def write_features(self, params: RunParams, rows: int, dim: int) -> Path:
        """features.zarr of epoch 1 with synthetic rows."""
        path = self.root / self.node(params, "extract").outs["features"].path
        remove(path)
        chunk = min(params.extract.chunk_rows, rows)
        out = ChunkWriter(path, (chunk, dim), "float32")
        out.write_all(synthetic(rows, dim, chunk), rows)
        return path

    def relisted(self, name: str, of: str, count: int) -> None:
        """A packed data set of `count` pictures: those of `of` in turn, which lie on the disk once."""
        source, folder = (self.root / dataset_folder(each) for each in (of, name))
        lines = read_parquet(source / MANIFEST)
        frame = lines.iloc[np.arange(count) % len(lines)].assign(image=np.arange(count)).reset_index(drop=True)
        self._list(name, source, frame, load_json(source / PACK))
        remove(folder / PIXELS)
        (folder / PIXELS).symlink_to(source / PIXELS)

    def unseen(self, name: str, count: int) -> None:
        """A packed data set whose `count` pictures have lines in a manifest alone, and no classes."""
        self._list(name, self.root, unseen_lines(count), {"classes": [], "labelled": 0})

    def _list(self, name: str, source: Path, frame: pd.DataFrame, info: dict[str, Any]) -> None:
        self.dataset(name, source)
        folder = self.root / dataset_folder(name)
        make_folder(folder)
        write_parquet(folder / MANIFEST, frame)
        write_json(folder / PACK, info | {"images": len(frame)})


def unseen_lines(count: int) -> pd.DataFrame:
    """The manifest of `count` pictures of no class whose pixels nobody asks for."""
    line = {"path": b"", "label": np.int32(-1), "chunk": np.int32(0), "offset": 0, "height": np.int32(1)}
    return pd.DataFrame({"image": np.arange(count), **line, "width": np.int32(1), "sha256": ""})


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
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
