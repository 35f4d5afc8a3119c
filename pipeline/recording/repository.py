"""DVC's view of a project: opened wherever the project lies, locked, and mended where a kill has cut its files short.

The repository's lock is held while asking or recording, never while a stage computes, so that `dvc status` works at any
time.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, SCHEMA, RWLockFileCorruptedError, RWLockFileFormatError
from dvc.scm import SCMError
from voluptuous import Invalid

from stages.errors import Refusal

T = TypeVar("T")

_DAMAGED = (RWLockFileCorruptedError, RWLockFileFormatError)

AGAIN = (LockError, *_DAMAGED)
"""What `Repository.locked` waits for, or mends."""


class Repository:
    """DVC's repository of a project.

    Args:
        tell: told when another DVC command must be waited for, and what DVC's own commands lack.

    Raises:
        Refusal: DVC cannot open it.
    """

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.root, self.tell = root, tell
        _name_user(root)
        with _dvc_told():
            self.repo = self._opened()

    def _opened(self) -> Repo:
        try:
            return Repo(str(self.root))
        except SCMError as error:
            self.tell(
                f"no git here ({one_line(error)}): `dvc config --local core.no_scm true` lets DVC's own commands work "
                "too; after `git init`, `dvc config --local --unset core.no_scm`"
            )
            return Repo(str(self.root), config={"core": {"no_scm": True}})

    def close(self) -> None:
        self.repo.close()

    def locked(self, work: Callable[[], T]) -> T:
        """What `work` returns, done when no other DVC command holds the repository, or a file that it needs.

        However long that takes: a run must not lose a stage to a `dvc push`. The locks of a process that died are free.
        """
        told = False
        while True:
            try:
                with _dvc_told():
                    self.repo.lock.lock()
                    try:
                        return work()
                    finally:
                        self.repo.lock.unlock()
            except LockError as error:
                if not told:
                    self.tell(self._waiting(error))
                    told = True
                time.sleep(0.1)
            except _DAMAGED:
                self._heal()
            except UnicodeDecodeError:
                if not self._heal():
                    raise

    def _waiting(self, error: LockError) -> str:
        """For whom, and how to end it."""
        stop = "waiting until it has ended (Ctrl-C stops that, and the same command goes on"
        if files := re.findall(r"\(PID (\d+)\): (.*)", str(error)):
            pid, command = files[0]
            return (
                f"`{command}`, pid {pid}, uses the same files: {stop}; if there is no such process: rm .dvc/tmp/rwlock)"
            )
        try:
            pid = (Path(str(self.repo.tmp_dir)) / "lock").read_text().split()[0]
        except (OSError, ValueError, IndexError):
            pid = "unknown"
        return f"another DVC command (pid {pid}) holds the repository: {stop})"

    def _heal(self) -> bool:
        """Removes the list of files in use, which a kill has cut short; whether it was.

        DVC stops over it in every command. What it said of processes that still run is lost.
        """
        path = Path(str(self.repo.tmp_dir)) / RWLOCK_FILE
        with make_lock(f"{path}.lock", tmp_dir=self.repo.tmp_dir, hardlink_lock=self._hardlinks()):
            try:
                SCHEMA(json.loads(path.read_bytes()))
            except FileNotFoundError:
                return False
            except (ValueError, Invalid):
                path.unlink()
                return True
        return False

    def _hardlinks(self) -> bool:
        return bool(self.repo.config["core"].get("hardlink_lock", False))


@contextmanager
def _dvc_told() -> Iterator[None]:
    """Turns what DVC raises, and its store of hashes, into one line."""
    try:
        yield
    except AGAIN:
        raise
    except (DvcException, SCMError, sqlite3.Error) as error:
        raise Refusal(f"DVC: {one_line(error)}: mend that, then give the same command again") from error


def _name_user(root: Path) -> None:
    """DVC asks for the user's name and home, which a container's user without an entry in passwd has not."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(root / ".dvc/tmp")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
