"""The picture that a file of a source holds."""

from __future__ import annotations

import hashlib
import os

import numpy as np
from numpy.typing import NDArray

from stages.errors import Refusal
from stages.method.decode import Room, Unreadable, decode, room
from stages.method.formats import MOST_ASPECT
from stages.sources.entries import Entry
from stages.sources.reading import UNOPENED, refuse_machine_error

MOST_BYTES = 2**30
"""A larger file is no picture whose pixels would be taken: it is not read into memory."""


Read = tuple[str, NDArray[np.uint8] | str]
"""The sha256 of a file, "" where it was not read, and its picture as `decode` gives it or why there is none."""


def read_picture(entry: Entry, size: int, room: Room = room) -> Read:
    """What a file holds, its short side `size` pixels; `room` as in `decode`.

    Raises:
        Refusal: it cannot be read now, for a reason that lies in the machine.
    """
    if entry.size > MOST_BYTES:
        return "", f"{entry.size:,} bytes, over {MOST_BYTES:,}"
    try:
        with open(entry.path, "rb") as file:
            content = file.read()
    except OSError as error:
        refuse_machine_error(error, entry.path)
        return "", f"{UNOPENED}{error.strerror}"
    digest = hashlib.sha256(content).hexdigest()
    try:
        return digest, decode(content, size, MOST_ASPECT, room)
    except Unreadable as error:
        return digest, str(error)
    except MemoryError:
        raise Refusal(
            f"too little memory to decode {os.fsdecode(entry.path)}; what is packed stays, and the same command goes on"
        ) from None
