"""Standard output and error as a shell gives them: closed, full, gone, or of few letters. Nothing of it stops work."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def stand_in_for_streams() -> None:
    """Puts /dev/null in place of streams that are closed, and lets the others escape letters that they lack.

    A closed descriptor would be given to the next file that is opened, and what is printed would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _to_nowhere(number)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Sends what a stream that cannot be written holds back, and whatever comes after, to /dev/null."""
    try:
        _to_nowhere(stream.fileno())
        stream.flush()
    except (OSError, ValueError):
        # It is no file, or closed: nothing is held back.
        pass


def flush(stream: TextIO) -> None:
    """Writes what is held back; what cannot be written is dropped, since the interpreter would complain of it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        silence(stream)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
