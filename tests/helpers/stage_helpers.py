"""Stages run one at a time: a small data set to pack, one stage of a finished run, a disk that fills up."""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from projects import params_text

from stages.artifacts.run_params import load_run_params
from stages.dag.data import dataset_nodes
from stages.pack import pack
from stages.runtime.job import data_job, load_dataset_params, run_job
from stages.runtime.report import Reporter
from stages.runtime.runner import execute, find_node

RUN = "data/runs/demo"
EPOCH = "epochs/0001"
N = 170


class Stopping(Reporter):
    """Ends the loop of a stage after `after` of its items, as Ctrl-C does; keeps how many were to be done."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__(stream=io.StringIO())
        self.after = after
        self.totals: list[int | None] = []

    def progress(self, items: Any, what: str, total: int | None, count: Any) -> Iterator[Any]:
        self.totals.append(total)
        for done, item in enumerate(items):
            if done == self.after:
                raise KeyboardInterrupt
            yield item

    @property
    def told(self) -> str:
        return self.stream.getvalue()  # type: ignore[attr-defined]


def project_with(root: Path, source: str, **dataset: Any) -> Path:
    """A bare project whose data set `mine` is at `source`; returns the folder that it is packed into."""
    (root / ".dvc").mkdir(parents=True, exist_ok=True)
    content = yaml.safe_load(params_text())
    content["datasets"]["mine"] = {"path": source, "size": 32, "labels": True, "chunk_mib": 1} | dataset
    # A run that the pictures are large enough for.
    content["runs"]["mine"] = {"dataset": "mine", "model": {"architecture": "vgg16", "input": 32}}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    return root / "data/images/mine"


def pack_into(root: Path, report: Reporter | None = None) -> Path:
    """Packs the data set `mine` in this process."""
    node = dataset_nodes(load_dataset_params(root, "mine"))[-1]
    execute(pack, data_job(root, node, report or Stopping()), None)
    return root / node.folder


def run_one(project: Any, stage: str, where: str = "epochs/0001", report: Reporter | None = None) -> str:
    """Runs one stage of the demo in this process, its old outputs removed as DVC does; what it told."""
    report = report or Stopping()
    params = load_run_params(project.root / RUN)
    node = find_node(project.root, params, Path(RUN) / where, stage)
    if stage != "resolve":
        for out in node.outs.values():
            remove(project.root / out.path)
    function = getattr(importlib.import_module(f"stages.{stage}"), stage)
    execute(function, run_job(project.root, node, params, report), params)
    return report.stream.getvalue()  # type: ignore[attr-defined]


def change(project: Any, values: dict[str, Any]) -> None:
    """Edits the root's params.yaml and resolves the demo again."""
    project.edit(values)
    run_one(project, "resolve", "")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones and logs left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name not in ("timings.csv", "log.txt", "listing.json")
    }


def published(folder: Path) -> list[str]:
    """Names in a stage's folder that others would take for finished."""
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def refused(call: Callable[[], Any]) -> str:
    """The one line of the refusal that `call` ends in."""
    from stages.errors import Refusal

    with pytest.raises(Refusal) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth coloured picture, which JPEG keeps nearly as it is."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def folder_of_pictures(folder: Path, count: int, side: int = 32) -> Path:
    """`count` pictures in two class folders, none like another."""
    for number in range(count):
        save(folder / "ab"[number % 2] / f"{number:04d}.png", picture(side, side + number % 7, number))
    return folder


class FullDisk:
    """Makes the write or new folder number `fails_at` (from 0) end in ENOSPC, half of it written.

    The file systems that tests usually run on cannot be filled; `tmpfs` below does it for real.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, below: Path) -> None:
        self.below, self.fails_at, self.count = below, -1, 0
        self._open, self._mkdir = builtins.open, os.mkdir
        monkeypatch.setattr("stages.artifacts.writing.open", self._opened, raising=False)
        monkeypatch.setattr(os, "mkdir", self._made)

    def arm(self, fails_at: int) -> None:
        self.fails_at, self.count = fails_at, 0

    @property
    def reached(self) -> bool:
        return 0 <= self.fails_at < self.count

    def _tick(self, path: Any) -> bool:
        if not Path(os.fsdecode(path)).is_relative_to(self.below):
            return False
        self.count += 1
        return self.count == self.fails_at + 1

    def _made(self, path: Any, *args: Any, **options: Any) -> None:
        if not os.path.exists(path) and self._tick(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._mkdir(path, *args, **options)

    def _opened(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = self._open(path, mode, *args, **options)
        if "w" in mode and self._tick(path):
            return _HalfWritten(file)
        return file


class _HalfWritten:
    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> _HalfWritten:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> None:
        self.file.write(bytes(content)[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A small disk mounted on `folder`; yields a function that gives it another size."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def epoch(project, name="", where=EPOCH):
    return project.root / RUN / where / name


def with_network(project, alter, where="epochs/0000"):
    """Alters the weights in a checkpoint."""
    path = epoch(project, "checkpoint.pt", where)
    content = torch.load(path, weights_only=True)
    alter(content)
    path.unlink()
    torch.save(content, path)


def scaled_last_layer(factor):
    def alter(content):
        name = [key for key in content["network"] if key.startswith("classifier") and key.endswith("weight")][-1]
        content["network"][name] *= factor

    return alter
