"""What cannot be read now is not what is no picture: errors of one file, and those of the machine."""

from __future__ import annotations

import errno
import hashlib
import os

from stages.errors import Refusal
from stages.sources.entries import Entry

UNOPENED = "cannot be opened: "
"""Begins the reason of a file that may be read another day: nothing is known of what it holds."""

UNLISTED = "cannot be listed: "
"""Begins the reason of a folder that may not be looked into."""

_OF_ONE_FILE = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EINVAL,
    errno.ENXIO,
    errno.EOVERFLOW,
)


def refuse_machine_error(error: OSError, path: bytes) -> None:
    """Stops at an error of disk, network or process (EIO, ESTALE, EMFILE, ...): other files may be hit as well.

    Taken for an error of this one file, it would reject what is healthy.
    """
    if error.errno not in _OF_ONE_FILE:
        raise Refusal(
            f"{os.fsdecode(path)} cannot be read now: {error.strerror or error}; what is packed stays, and the same "
            "command goes on once it can be read, or once the file is taken out"
        ) from None


def file_digest(entry: Entry) -> str:
    """The file's sha256, "" where it cannot be opened."""
    try:
        with open(entry.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        refuse_machine_error(error, entry.path)
        return ""


def can_be_opened(path: bytes) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False
