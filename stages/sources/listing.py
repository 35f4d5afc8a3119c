"""Which pictures a data set consists of: a folder's files, or the lines of a text file.

Names are bytes throughout, since a file system does not promise that they are text.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams

ENDINGS = (b".jpg", b".jpeg", b".jpe", b".png", b".webp", b".bmp", b".tif", b".tiff")


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture: its `name` as recorded, the `base` that it is relative to, its size and mtime.

    There may be millions: what can be said from these is not kept.
    """

    name: bytes
    base: bytes
    size: int
    mtime_ns: int
    listed: bool = False

    @property
    def path(self) -> bytes:
        """What opens it."""
        return os.path.join(self.base, self.name)

    @property
    def folder(self) -> bytes | None:
        """The first folder level of the name: the class, as torchvision's ImageFolder has it; none in a list."""
        first, separator, _ = self.name.partition(b"/")
        return first if separator and not self.listed else None


@dataclass
class Listing:
    """The pictures in order, and what was found that is none."""

    entries: list[Entry] = field(default_factory=list)
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def digest(self) -> str:
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(entry.name + b"\0" + f"{entry.size} {entry.mtime_ns}\n".encode())
        for name, reason in self.rejected:
            digest.update(name + b"\0" + reason.encode() + b"\n")
        return digest.hexdigest()


def list_source(source: Path) -> Listing:
    """The pictures of a folder (in order of name) or of a text file of paths (in its order).

    Raises:
        Refusal: nothing there, or no picture in it.
    """
    if source.is_dir():
        listing = _list_folder(os.fsencode(source))
    elif source.is_file():
        if os.fsencode(source).lower().endswith(ENDINGS):
            raise Refusal(f"{source} is a picture: give the folder that holds it, or a text file with a path a line")
        listing = _list_file(source)
    else:
        raise Refusal(f"{source} is neither a folder of pictures nor a text file of paths: give one that is there")
    if not listing.entries:
        what = f" ({len(listing.rejected)} entries cannot be opened)" if listing.rejected else ""
        endings = " ".join(ending.decode() for ending in ENDINGS)
        raise Refusal(f"{source} holds no pictures{what}; looked for {endings}")
    return listing


def _list_folder(top: bytes) -> Listing:
    listing = Listing()
    seen_folders: set[tuple[int, int]] = set()
    seen_files: set[int] = set()
    links: list[bytes] = []
    # Real folders first, so that a file that a link leads to as well is known by its real name.
    pending = [b""]
    while pending or links:
        if not pending:
            links.sort()
            name = links.pop(0)
            _follow(top, name, listing, pending, seen_files)
            continue
        folder = pending.pop()
        status = os.stat(os.path.join(top, folder))
        if (status.st_dev, status.st_ino) in seen_folders:
            continue
        seen_folders.add((status.st_dev, status.st_ino))
        try:
            children = sorted(os.scandir(os.path.join(top, folder)), key=lambda child: child.name)
        except OSError as error:
            listing.rejected.append((folder, f"cannot be listed: {error.strerror}"))
            continue
        for child in children:
            name = os.path.join(folder, child.name) if folder else child.name
            if child.is_symlink():
                links.append(name)
            elif child.is_dir():
                pending.append(name)
            elif child.is_file():
                _add(listing, top, name, child.stat(), seen_files)
    listing.entries.sort(key=lambda entry: entry.name)
    listing.rejected.sort()
    return listing


def _follow(top: bytes, name: bytes, listing: Listing, pending: list[bytes], seen: set[int]) -> None:
    path = os.path.join(top, name)
    try:
        status = os.stat(path)
    except OSError as error:
        if name.lower().endswith(ENDINGS):
            listing.rejected.append((name, f"link that leads nowhere: {error.strerror}"))
        return
    if os.path.isdir(path):
        pending.append(name)
    elif _number(status) not in seen:
        _add(listing, top, name, status, seen)


def _number(status: os.stat_result) -> int:
    """Device and inode in one, since a set of pairs takes three times the memory."""
    return status.st_dev << 64 | status.st_ino


def _add(listing: Listing, top: bytes, name: bytes, status: os.stat_result, seen: set[int]) -> None:
    if not name.lower().endswith(ENDINGS):
        ending = os.path.splitext(name)[1].decode(errors="backslashreplace")
        listing.ignored[ending or "no ending"] += 1
        return
    seen.add(_number(status))
    listing.entries.append(Entry(name, top, status.st_size, status.st_mtime_ns))


def _list_file(source: Path) -> Listing:
    listing = Listing()
    base = os.fsencode(source.parent)
    first_line: dict[bytes, int] = {}
    # Some editors begin a text file with a mark of its encoding, which is no part of a name.
    content = source.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.split(b"\n"), start=1):
        name = line.removesuffix(b"\r")
        if not name:
            continue
        if name in first_line:
            listing.rejected.append((name, f"line {number}: repeats line {first_line[name]}"))
            continue
        first_line[name] = number
        try:
            status = os.stat(os.path.join(base, name))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            listing.rejected.append((name, f"line {number}: {reason}"))
            continue
        if not stat.S_ISREG(status.st_mode):
            listing.rejected.append((name, f"line {number}: is no file"))
            continue
        listing.entries.append(Entry(name, base, status.st_size, status.st_mtime_ns, listed=True))
    return listing


def list_dataset(root: Path, dataset: DatasetParams, folder: Path) -> Listing:
    """The pictures of a data set that is packed into `folder`, refused as `list_source` and `refuse_inside` do."""
    source = source_path(root, dataset)
    refuse_inside(source, folder, dataset)
    return list_source(source)


def source_path(root: Path, dataset: DatasetParams) -> Path:
    return root / dataset.path


def refuse_inside(source: Path, folder: Path, dataset: DatasetParams) -> None:
    """Refuses a source that contains our own output: the next packing would find it."""
    top, out = source.resolve(), folder.resolve()
    if top.is_dir() and (out == top or top in out.parents) and dataset.generate is None:
        raise Refusal(f"output lies inside --images: {out} is below {top}; name a folder that holds the pictures alone")
