"""One writer per folder, by a lock that the kernel frees however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from stages.errors import Refusal


@contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """Holds FOLDER/.lock.

    Raises:
        Refusal: another process holds it; the line says on which host, its pid and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            try:
                holder = json.loads(file.read())
                who = f"host {holder['host']}, pid {holder['pid']}, since {holder['since']}"
            except (ValueError, KeyError):
                who = "another process"
            raise Refusal(f"{what} in use by {who}; wait until it has ended, or stop it") from None
        file.truncate(0)
        now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": now}, file)
        file.flush()
        yield
