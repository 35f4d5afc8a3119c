"""One writer per folder, by a lock that the kernel frees however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from stages.errors import Refusal


@contextmanager
def only_writer(folder: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Holds FOLDER/.lock.

    Args:
        patience: seconds to wait for a process that holds it.

    Raises:
        Refusal: another process holds it; the line says on which host, its pid and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as file:
        if not _locked(file, patience):
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


def _locked(file: IO[str], patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        except OSError as error:
            # ENOLCK and its like, of network disks without a lock service; the error knows no name.
            raise OSError(error.errno, f"{error.strerror} (this file system has no locks)", file.name) from None
