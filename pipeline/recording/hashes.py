"""Files and folders of files as DVC records them: their size and number, which are quick to find, and their hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any


@dataclass(frozen=True, slots=True)
class Look:
    """What a file, or all files in a folder, look like without reading them.

    Attributes:
        size: bytes of all.
        count: number of files.
        newest: time in ns since the epoch at which content, name or owner of one of them last changed.
    """

    size: int
    count: int
    newest: int

    def fits(self, recorded: dict[str, Any]) -> bool:
        """Whether size and number are those of an entry of a dvc.lock."""
        return self.count == recorded.get("nfiles", self.count) and self.size == recorded.get("size")


def look_at(path: Path) -> Look | None:
    """The look of a file, or of the files in a folder; None where there are none, or one cannot be reached.

    Raises:
        PermissionError: this user may not look at it, which says nothing about what is there.
    """
    size = count = newest = 0
    try:
        for stat in _files(path):
            size += stat.st_size
            count += 1
            newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    except PermissionError:
        raise
    except OSError:
        return None
    return Look(size, count, newest) if count else None


def _files(path: str | os.PathLike[str]) -> Iterator[os.stat_result]:
    """The status of a file, or of every file below a folder; links to folders are not followed."""
    found = os.stat(path)
    if not S_ISDIR(found.st_mode):
        yield found
        return
    with os.scandir(path) as entries:
        for entry in entries:
            if not (entry.is_symlink() and entry.is_dir()):
                yield from _files(entry.path)


def md5(path: Path) -> str | None:
    """The hash that DVC records of a file, or of a folder (it ends in ".dir"); None where there is neither."""
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    if not path.is_dir():
        return None
    # Which refuses where this user may not look; rglob leaves that out without a word.
    look_at(path)
    entries = [
        {"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()
    ]
    entries.sort(key=lambda entry: str(entry["relpath"]))
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
