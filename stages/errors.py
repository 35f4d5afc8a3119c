"""The errors that reach a user as a single line on stderr and exit status 1."""

from __future__ import annotations

import os


class Refusal(Exception):
    """A message that says what is wrong, names the file or key, and gives the command that helps.

    Whatever else is raised is a bug of ours and keeps its traceback, but what the surroundings did: see `outside`.
    """


class OutOfSpace(Refusal):
    """The disk is full; nothing was published under a final name."""


def outside(error: OSError) -> str:
    """What the disk, the network or the user's rights did, in one line: which file, and why."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, (str, bytes))]
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    named = " -> ".join(paths) or "standard output or a file"
    return f"{named}: {reason[0].lower()}{reason[1:]}; mend that, then give the same command again"
