"""The pictures that a text file names: a path a line, or a path and the number of its class."""

from __future__ import annotations

import codecs
import os
import re
import stat
from pathlib import Path

from stages.errors import Refusal
from stages.sources.entries import Entry, Listing
from stages.sources.reading import refuse_machine_error

_WHOLE = re.compile(rb"-?\d{1,9}")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def list_file(source: Path, classes: Path | None = None) -> Listing:
    """The pictures of a list, in its order; paths are relative to the list's folder.

    Args:
        classes: the file that names the classes, where lines end in a blank and the number of one.

    Raises:
        Refusal: its text is none that paths can be read from, or a line's class is none of the classes.
    """
    listing = Listing(named=None if classes is None else read_classes(classes))
    base = os.fsencode(source.parent)
    first_line: dict[bytes, int] = {}
    for number, line in enumerate(read_lines(source), start=1):
        if not line:
            continue
        name, label = line, -1
        if listing.named is not None:
            name, label = _parted(line, len(listing.named), f"{source}: line {number}")
        if name in first_line:
            listing.rejected.append((name, f"line {number}: repeats line {first_line[name]}"))
            continue
        first_line[name] = number
        path = os.path.join(base, name)
        try:
            status = os.stat(path)
        except ValueError:
            listing.rejected.append((name, f"line {number}: a zero byte in the name: is the list UTF-8?"))
            continue
        except OSError as error:
            refuse_machine_error(error, path)
            quoted = " (its quotes are taken as part of the name)" if name[:1] in b"\"'" else ""
            listing.rejected.append((name, f"line {number}: {error.strerror}{quoted}"))
            continue
        if not stat.S_ISREG(status.st_mode):
            listing.rejected.append((name, f"line {number}: is no file"))
            continue
        listing.entries.append(Entry(name, base, status.st_size, status.st_mtime_ns, listed=True, label=label))
    return listing


def _parted(line: bytes, classes: int, where: str) -> tuple[bytes, int]:
    """A line's path and class, parted at its last blank."""
    parts = line.rstrip().rsplit(maxsplit=1)
    if len(parts) != 2 or not _WHOLE.fullmatch(parts[1]):
        shown = line[:80].decode(errors="backslashreplace")
        raise Refusal(f"{where}: {shown!r} does not end in a blank and the number of a class (datasets.NAME.classes)")
    label = int(parts[1])
    if not 0 <= label < classes:
        raise Refusal(f"{where}: class {label}, and the file of the classes has {classes:,}, numbered from 0")
    return parts[0], label


def read_classes(path: Path) -> list[bytes]:
    """The names of a file of classes, a line each.

    Where each line ends in a number, and these are 0, 1, 2 … in any order, they are the numbers of the classes
    (Places205's and Places365's files have them).

    Raises:
        Refusal: there is none, or one twice.
    """
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    parts = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(part) == 2 and _WHOLE.fullmatch(part[1]) for part in parts):
        numbered = {int(number): name for name, number in parts}
        if sorted(numbered) == list(range(len(lines))):
            lines = [numbered[number] for number in range(len(lines))]
    if not lines:
        raise Refusal(f"{path} names no class: write one a line")
    if len(set(lines)) < len(lines):
        twice = next(line for line in lines if lines.count(line) > 1)
        raise Refusal(f"{path} names the class {twice.decode(errors='backslashreplace')!r} twice")
    return lines


def read_lines(source: Path) -> list[bytes]:
    """The lines of a text file as UTF-8 or bytes of no known encoding, without their ends.

    Raises:
        Refusal: it cannot be read.
    """
    return [line.removesuffix(b"\r") for line in _content(source).split(b"\n")]


def _content(source: Path) -> bytes:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise Refusal(f"{source} cannot be read: {error.strerror}") from None
    if content.startswith(_UTF16):
        try:
            return content.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise Refusal(f"{source} begins as UTF-16 and is none ({error.reason}): save it as UTF-8") from None
    # Some editors begin a text file with a mark of its encoding, which is no part of a name.
    return content.removeprefix(codecs.BOM_UTF8)
