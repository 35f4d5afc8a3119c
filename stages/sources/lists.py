"""The pictures that a text file names, a path a line."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from stages.errors import Refusal
from stages.sources.entries import Entry, Listing
from stages.sources.reading import refuse_machine_error

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def list_file(source: Path) -> Listing:
    """The pictures of a list, in its order; paths are relative to the list's folder.

    Raises:
        Refusal: its text is none that paths can be read from.
    """
    listing = Listing()
    base = os.fsencode(source.parent)
    first_line: dict[bytes, int] = {}
    for number, line in enumerate(_content(source).split(b"\n"), start=1):
        name = line.removesuffix(b"\r")
        if not name:
            continue
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
        listing.entries.append(Entry(name, base, status.st_size, status.st_mtime_ns, listed=True))
    return listing


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
