"""Write beside, then rename: a file under its final name is whole, and a full disk is told in one line."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.errors import OutOfSpace
from stages.words import size

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
            f"no space left on device: {path} needs {size(needed)} and {size(free)} are "
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
