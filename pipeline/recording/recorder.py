"""Is a stage up to date, and recording one that was run, by DVC's Python interface.

Only stable calls of DVC 3.67 are used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any, TypeVar

from dvc.exceptions import DvcException

from pipeline.recording.hashes import md5
from pipeline.recording.lock_files import keep_entry, keep_lock, restore_lock
from pipeline.recording.repository import AGAIN, Repository, one_line
from stages.artifacts.writing import space_told
from stages.dag.folders import IMAGES
from stages.dag.names import LOCK, PLAN
from stages.dag.nodes import Node
from stages.errors import Refusal

T = TypeVar("T")


class Recorder:
    """DVC's view of a project.

    Args:
        root: the project's root.
        tell: told when another DVC command must be waited for.
    """

    def __init__(self, root: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self.root = root
        self.repository = Repository(root, tell)
        self.repo = self.repository.repo
        # The folder last asked for: parsing its files takes longer than all else that DVC does for its stages.
        self._loaded: _Loaded | None = None

    def close(self) -> None:
        self.repository.close()

    def _stage(self, node: Node) -> Any:
        folder = self.root / node.folder
        loaded = self._loaded
        if (
            loaded is None
            or loaded.folder != folder
            or loaded.written != _written(folder)
            or node.stage not in loaded.stages
        ):
            self._loaded = None
            restore_lock(folder)
            # Before they are read: what is written meanwhile is read again.
            written = _written(folder)
            try:
                stages = {stage.name: stage for stage in self.repo.stage.load_file(str(folder / PLAN))}
            except (DvcException, UnicodeDecodeError) as error:
                raise _unplanned(node, one_line(error)) from None
            self._loaded = loaded = _Loaded(folder, written, stages)
        if node.stage not in loaded.stages:
            raise _unplanned(node, f"no stage {node.stage}")
        return loaded.stages[node.stage]

    @contextmanager
    def _recorded(self, node: Node) -> Iterator[Any]:
        """The stage, for its new record."""
        stage, loaded = self._stage(node), self._loaded
        assert loaded is not None
        # A failure in between leaves nothing to trust, and what was recorded is read anew if it is asked for again.
        self._loaded = None
        yield stage
        keep_lock(loaded.folder)
        others = {name: other for name, other in loaded.stages.items() if name != node.stage}
        self._loaded = _Loaded(loaded.folder, (loaded.written[0], _written(loaded.folder)[1]), others)

    def changed(self, node: Node) -> bool:
        """Whether the stage must run: never recorded, or its inputs, parameters or outputs changed."""

        def work() -> bool:
            stage = self._stage(node)
            if not stage.changed():
                return False
            if stage.changed_stage() or stage.changed_deps() or any(out.workspace_status() for out in stage.outs):
                return True
            # Only .dvc/cache lacks what the stage made: that is no reason to make it again.
            try:
                self._drop_damaged(stage)
                stage.commit()
            except AGAIN:
                raise
            except DvcException as error:
                raise Refusal(
                    f"{node.id} is missing in .dvc/cache, and DVC could not put it back ({one_line(error)}): mend "
                    "that, then give the same command again"
                ) from None
            return False

        return self.repository.locked(work)

    def clear(self, node: Node, *, planned: bool = True) -> None:
        """Removes the stage's outputs, as DVC does before it runs one, but those that persist.

        Args:
            planned: False for a stage that is planned when it has run.

        Raises:
            Refusal: DVC does not know the stage: what it made could not be recorded. Nothing is removed.
        """
        if planned:
            self.repository.locked(lambda: self._stage(node))
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
        lock = folder / LOCK
        cached = [self.root / out.path for out in node.outs.values() if out.kind == "cached"]
        needed = sum(path.stat().st_size for path in [lock, *cached] if path.is_file())

        def work() -> None:
            # DVC logs that it could not copy into its cache, goes on, and asks to delete what it did not save.
            if needed > shutil.disk_usage(self.root).free:
                raise OSError(ENOSPC, "no space for .dvc/cache")
            try:
                with self._recorded(node) as stage:
                    stage.save(run_cache=False)
                    self._drop_damaged(stage)
                    stage.commit()
                    stage.dump(update_pipeline=False)
            except AGAIN:
                raise
            except DvcException as error:
                raise Refusal(
                    f"{node.id} is published, and DVC could not record it ({one_line(error)}): mend that, then give "
                    "the same command again"
                ) from None

        with space_told(lock, needed):
            self.repository.locked(work)

    def _drop_damaged(self, stage: Any) -> None:
        """Removes from .dvc/cache what is not what its name says: DVC would put it in place of what was just made."""
        for out in stage.outs:
            if out.use_cache and out.hash_info.value:
                kept = Path(self.repo.cache.local.oid_to_path(out.hash_info.value))
                if kept.exists() and md5(kept) != out.hash_info.value:
                    kept.unlink()

    def record_guard(self, node: Node, expected: Mapping[str, str]) -> None:
        """Records a pruned epoch's guard alone in its dvc.lock.

        Args:
            expected: hash by name of each file that was recorded: one that differs must not become the record.

        Raises:
            Refusal: a kept file is missing or differs; the dvc.lock is as it was.
        """
        folder = self.root / node.folder
        lock = folder / LOCK

        def work() -> None:
            with self._recorded(node) as stage:
                try:
                    stage.save(run_cache=False)
                except AGAIN:
                    raise
                except DvcException as error:
                    raise Refusal(
                        f"{node.folder} is not pruned: {error}; `python -m pipeline verify --run {node.run}` names it"
                    ) from None
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

        with space_told(lock, lock.stat().st_size):
            self.repository.locked(work)


@dataclass(frozen=True)
class _Loaded:
    """The stages of a folder's dvc.yaml, and when its files were written."""

    folder: Path
    written: tuple[tuple[int, int, int] | None, ...]
    stages: dict[str, Any]


def _written(folder: Path) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(folder / name) for name in (PLAN, LOCK))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _unplanned(node: Node, why: str) -> Refusal:
    again = f"plan --run {node.run}"
    if node.run is None:
        again = f"rerun pack --dataset {Path(node.folder).name}" if node.folder.startswith(IMAGES) else "plan --run RUN"
    return Refusal(f"{node.folder}/dvc.yaml cannot be read ({why}): `python -m pipeline {again}` writes it anew")
