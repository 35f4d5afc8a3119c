"""One writer per folder, or several readers, by a lock that the kernel frees however its holder ends."""

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
from typing import IO, Any, NoReturn

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
        if not _locked(file, patience, fcntl.LOCK_EX):
            _refuse(file, what)
        _write(file, [_myself("")])
        yield


@contextmanager
def reader(folder: Path, what: str, user: str) -> Iterator[None]:
    """Holds FOLDER/.lock beside other readers, so that there is no writer meanwhile.

    Args:
        user: who reads, told to a writer.

    Raises:
        Refusal: a writer is at work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError:
        # Where this user may not write, it is for others to see that nobody does.
        yield
        return
    with file:
        if not _locked(file, 0.0, fcntl.LOCK_SH):
            _refuse(file, what)
        me = _myself(user)
        # Beside a reader there is no writer: what one has left behind is of the past.
        _write(file, [*(line for line in _holders(file) if line.get("user")), me])
        try:
            yield
        finally:
            _write(file, [line for line in _holders(file) if line != me])


def _myself(user: str) -> dict[str, Any]:
    now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "user": user}


def _write(file: IO[str], holders: list[dict[str, Any]]) -> None:
    """Writes down who holds the lock, a line each."""
    file.truncate(0)
    file.write("".join(f"{json.dumps(line)}\n" for line in holders))
    file.flush()


def _holders(file: IO[str]) -> list[dict[str, Any]]:
    """Those written down that are still there, as far as this machine can tell."""
    file.seek(0)
    try:
        holders = [json.loads(line) for line in file.read().splitlines()]
        return [line for line in holders if line["host"] != socket.gethostname() or _is_alive(line["pid"])]
    except (ValueError, KeyError, TypeError):
        return []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _refuse(file: IO[str], what: str) -> NoReturn:
    holders = _holders(file)
    who = "another process"
    if holders:
        first = holders[0]
        user = f"{first['user']}, " if first.get("user") else ""
        who = f"{user}host {first['host']}, pid {first['pid']}, since {first['since']}"
    raise Refusal(f"{what} in use by {who}; wait until it has ended, or stop it")


def _locked(file: IO[str], patience: float, kind: int) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        except OSError as error:
            # ENOLCK and its like, of network disks without a lock service; the error knows no name.
            raise OSError(error.errno, f"{error.strerror} (this file system has no locks)", file.name) from None
