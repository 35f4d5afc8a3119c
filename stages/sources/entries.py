"""A source's pictures, and what was found beside them.

Names are bytes throughout, since a file system does not promise that they are text.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field

from stages.method.formats import reads_heif

ENDINGS = (b".jpg", b".jpeg", b".jpe", b".jfif", b".png", b".webp", b".bmp", b".tif", b".tiff")
_HEIF = (b".heic", b".heif", b".hif")
_UNREAD = (*_HEIF, *b".avif .gif .jxl .jp2 .svg .psd .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf".split())

_SERVICE = (b"@eadir", b"__macosx", b"$recycle.bin", b"system volume information", b"lost+found")
"""Folders that systems put beside pictures, in lower case; hidden ones begin with a point."""

_DATE = re.compile(rb"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?(0[1-9]|[12]\d|3[01]))?)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture: its `name` as recorded, the `base` that it is relative to, its size and mtime, its class by a list.

    There may be millions: what can be said from these is not kept.
    """

    name: bytes
    base: bytes
    size: int
    mtime_ns: int
    listed: bool = False
    label: int = -1

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
    """The pictures in order, and what was found that is none.

    Attributes:
        rejected: names that may be pictures and cannot be reached, with the reason.
        unlisted: folders that may not be looked into, with the reason.
        unread: how many files of each ending are pictures of a format that is not read.
        ignored: how many files of each ending are no pictures.
        left_out: hidden and service folders, which are not looked into.
        named: the classes whose numbers a list's lines end in; None where they end in none.
    """

    entries: list[Entry] = field(default_factory=list)
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    unlisted: list[tuple[bytes, str]] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    left_out: list[bytes] = field(default_factory=list)
    named: list[bytes] | None = None

    def digest(self) -> str:
        digest = hashlib.sha256()
        for entry in self.entries:
            label = "" if self.named is None else f" {entry.label}"
            digest.update(entry.name + b"\0" + f"{entry.size} {entry.mtime_ns}{label}\n".encode())
        for name in self.named or ():
            digest.update(name + b"\n")
        for name, reason in (*self.rejected, *self.unlisted):
            digest.update(name + b"\0" + reason.encode() + b"\n")
        return digest.hexdigest()

    def count_other(self, name: bytes) -> None:
        """Counts a file that is no picture that can be read."""
        ending = os.path.splitext(name)[1]
        counter = self.unread if ending.lower() in _UNREAD else self.ignored
        counter[ending.decode(errors="backslashreplace") or "no ending"] += 1

    def beside(self) -> list[str]:
        """What lies beside the pictures and is not used, a few words each."""
        told = []
        if self.unlisted:
            name, reason = self.unlisted[0]
            told.append(f"{_counted(len(self.unlisted), 'folder')} left out: {_shown(name)} {reason}")
        if self.unread:
            heif = not reads_heif() and any(ending.lower().encode() in _HEIF for ending in self.unread)
            told.append(
                f"pictures of a format that is not read: {_most(self.unread)} "
                f"(convert them{', or `pip install pillow-heif`' if heif else ''})"
            )
        if self.ignored:
            told.append(f"files that are no pictures ignored: {_most(self.ignored)}")
        if self.left_out:
            names = ", ".join(map(_shown, self.left_out[:3])) + (", …" if len(self.left_out) > 3 else "")
            told.append(f"{_counted(len(self.left_out), 'hidden or service folder')} left out: {names}")
        return told

    def classes(self, wanted: bool) -> tuple[list[bytes], str]:
        """The names of the classes, in order, and what was taken for them; none where they would say nothing."""
        if self.named is not None:
            return (self.named, f"labels are the {len(self.named)} classes of the list") if wanted else ([], "")
        folders = sorted({entry.folder for entry in self.entries if entry.folder is not None}) if wanted else []
        names = ", ".join(map(_shown, folders[:3])) + (", …" if len(folders) > 3 else "")
        if len(folders) == 1:
            return [], f"no labels, since there is one folder alone ({names})"
        if folders and all(_DATE.fullmatch(name) for name in folders):
            return [], f"no labels, since the folders are dates ({names})"
        return folders, f"labels are the {len(folders)} folders ({names})" if folders else ""


def is_picture(name: bytes) -> bool:
    """Whether a file's name is that of a picture; a Mac's `._` beside each holds something else."""
    endings = (*ENDINGS, *_HEIF) if reads_heif() else ENDINGS
    return name.lower().endswith(endings) and not os.path.basename(name).startswith(b"._")


def is_left_out(folder: bytes) -> bool:
    """Whether a folder, by its own name, is a hidden one or a system's."""
    return folder.startswith(b".") or folder.lower() in _SERVICE


def not_used_now(name: bytes) -> bool:
    """Whether a picture of a folder would be passed over by its name, for which an earlier listing had room."""
    return not is_picture(name) or any(map(is_left_out, name.split(b"/")[:-1]))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _most(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {ending}" for ending, count in counter.most_common(3))


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
