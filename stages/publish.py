"""Write beside, then rename: how an artifact comes to be under its final name, whole or not at all.

FOLDER/.partial-STAGE/        what the stage is writing, and its save points
FOLDER/.partial-STAGE/old/    a folder that is being replaced, until its successor is in place
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from stages.errors import OutOfSpace

FAILED = "failed.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def space_told(path: Path, needed: int) -> Iterator[None]:
    """Turns a full disk into one line with the path, what was needed and what is free."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = shutil.disk_usage(existing(path)).free
        raise OutOfSpace(
            f"no space left on device: {path} needs {needed / 2**20:.1f} MB and {free / 2**20:.1f} MB are "
            "free; make room and give the same command again"
        ) from None


def existing(path: Path) -> Path:
    """The closest folder at or above `path` that exists."""
    while not path.exists():
        path = path.parent
    return path


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a new file and its bytes through to the disk; never opens what is there already.

    Libraries hide a full disk behind errors of their own, so artifacts are made in memory
    first and reach the disk here, where the refusal can say what is missing.
    """
    beside = path.with_name(f".{path.name}.new")
    with space_told(path, len(content)):
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are missing."""
    with space_told(path, 4096):
        path.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_parquet(path: Path, frame: Any) -> None:
    """A pandas DataFrame as parquet; equal frames give equal bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getbuffer())


def write_frames(path: Path, frames: Iterable[Any]) -> None:
    """pandas DataFrames of the same columns as one parquet, a row group each, written as they come."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside = path.with_name(f".{path.name}.new")
    with space_told(path, 0):
        with open(beside, "wb") as file:
            tables = (pa.Table.from_pandas(frame, preserve_index=False) for frame in frames)
            first = next(tables)
            with pq.ParquetWriter(file, first.schema) as writer:
                for table in chain([first], tables):
                    writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


def write_npy(path: Path, array: Any) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getbuffer())


def write_npz(path: Path, **arrays: Any) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getbuffer())


def write_torch(path: Path, content: Any) -> None:
    """`torch.save` through a buffer: given a path it would write the path's name into the bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def link(source: Path, target: Path) -> None:
    """A hard link to a published file, which nobody opens for writing; a copy where links are refused."""
    # An attempt that was killed may have left its link.
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with space_told(target, source.stat().st_size):
            shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Removes a file, link or folder, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Partial:
    """The folder beside a stage's outputs in which they are written."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder = folder
        self.path = folder / f".partial-{stage}"

    def recover(self) -> None:
        """Undoes a kill between the two renames that replace a folder."""
        old = self.path / "old"
        if old.is_dir():
            for item in old.iterdir():
                target = self.folder / item.name
                if not target.exists():
                    os.rename(item, target)
            shutil.rmtree(old)

    def begin(self, key: str) -> None:
        """Opens the folder; what an attempt with another `key` left there is dropped.

        Args:
            key: digest of everything that the stage's result depends on, so that save points
                are taken up only where they lead to the same bytes.
        """
        self.recover()
        mark = self.path / "key"
        if not mark.exists() or mark.read_text() != key:
            if self.path.exists():
                shutil.rmtree(self.path)
            make_folder(self.path)
            write_bytes(mark, key.encode())
        (self.path / FAILED).unlink(missing_ok=True)

    def fail(self, message: str) -> None:
        """Leaves a mark for `pipeline status`; on a full disk the mark may be missing."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / FAILED).write_text(json.dumps({"error": message}))
        except OSError:
            pass

    def publish(self, names: list[str]) -> None:
        """Renames the finished artifacts to their final names, in the order given, and clears up."""
        for name in names:
            source, target = self.path / name, self.folder / name
            make_folder(target.parent)
            if target.is_dir() and not target.is_symlink():
                old = self.path / "old"
                make_folder(old)
                make_folder((old / name).parent)
                os.rename(target, old / name)
            os.replace(source, target)
        shutil.rmtree(self.path)


def failure(folder: Path, stage: str) -> str | None:
    """Why the last attempt at a stage failed, or None."""
    try:
        return str(json.loads((folder / f".partial-{stage}" / FAILED).read_text())["error"])
    except (OSError, ValueError, KeyError):
        return None
