"""All of DVC's Python interface: is a stage up to date, and recording one that was run.

Only stable calls of DVC 3.67 are used. The repository's lock is held while asking or recording,
never while a stage computes, so that `dvc status` works at any time.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from pipeline.lockfiles import keep_entry, keep_lock, restore_lock
from stages.errors import Refusal
from stages.nodes import Node
from stages.publish import space_told

LOCK_SECONDS = 60.0
"""How long to wait for another DVC command to let go of the repository."""


class Recorder:
    """DVC's view of a project.

    Args:
        root: the project's root.
    """

    def __init__(self, root: Path) -> None:
        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.root = root
        self.repo = Repo(str(root))
        # The stage last asked for: to be recorded it need not be parsed again, which takes longer than hashing.
        self._last: tuple[str, Any] | None = None

    def close(self) -> None:
        self.repo.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self.repo.lock.lock()
                break
            except LockError:
                if time.monotonic() > deadline:
                    raise Refusal(
                        "another DVC command holds the repository; wait until it has ended, then again"
                    ) from None
                time.sleep(0.1)
        try:
            yield
        finally:
            self.repo.lock.unlock()

    def _stage(self, node: Node) -> Any:
        plan = self.root / node.folder / "dvc.yaml"
        try:
            stage = self.repo.stage.load_one(str(plan), node.stage)
        except DvcException as error:
            raise Refusal(
                f"{plan} cannot be read ({_one_line(error)}): `python -m pipeline plan --run NAME` writes it anew"
            ) from None
        self._last = node.id, stage
        return stage

    def changed(self, node: Node) -> bool:
        """Whether the stage must run: never recorded, or its inputs, parameters or outputs changed."""
        with self._locked():
            restore_lock(self.root / node.folder)
            return bool(self._stage(node).changed())

    def clear(self, node: Node) -> None:
        """Removes the stage's outputs, as DVC does before it runs one, but those that persist."""
        for out in node.outs.values():
            path = self.root / out.path
            if out.kind == "persistent" or out.kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def record(self, node: Node) -> None:
        """Writes the stage's inputs, parameters and outputs into dvc.lock.

        run_cache=False, since DVC's run cache copies even outputs that are declared uncached.
        """
        folder = self.root / node.folder
        lock = folder / "dvc.lock"
        cached = [self.root / out.path for out in node.outs.values() if out.kind == "cached"]
        needed = sum(path.stat().st_size for path in [lock, *cached] if path.is_file())
        with space_told(lock, needed), self._locked():
            # DVC logs that it could not copy into its cache, goes on, and asks to delete what it did not save.
            if needed > shutil.disk_usage(self.root).free:
                raise OSError(ENOSPC, "no space for .dvc/cache")
            stage = self._last[1] if self._last and self._last[0] == node.id else self._stage(node)
            try:
                stage.save(run_cache=False)
                stage.commit()
                stage.dump(update_pipeline=False)
            except DvcException as error:
                raise Refusal(
                    f"{node.id} is published, and DVC could not record it ({_one_line(error)}): mend that, then give "
                    "the same command again"
                ) from None
            keep_lock(folder)

    def record_guard(self, node: Node, expected: Mapping[str, str]) -> None:
        """Records a pruned epoch's guard alone in its dvc.lock.

        Args:
            expected: hash by name of each file that was recorded: one that differs must not become the record.

        Raises:
            Refusal: a kept file is missing or differs; the dvc.lock is as it was.
        """
        folder = self.root / node.folder
        lock = folder / "dvc.lock"
        with space_told(lock, lock.stat().st_size), self._locked():
            restore_lock(folder)
            stage = self._stage(node)
            try:
                stage.save(run_cache=False)
            except DvcException as error:
                raise Refusal(f"{node.folder} is not pruned: {error}; `python -m pipeline verify` names it") from None
            for out in stage.outs:
                name = Path(out.fspath).name
                if out.hash_info.value != expected.get(name):
                    raise Refusal(
                        f"{node.folder}/{name} is not what was recorded: it is not pruned; `python -m pipeline "
                        f"verify --run {node.run}` names what differs"
                    )
            stage.commit()
            stage.dump(update_pipeline=False)
            # DVC leaves the entries of the stages that are gone.
            keep_entry(folder, node.stage)
            keep_lock(folder)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
