"""Deletes the large artifacts of the epochs that `retain` does not keep.

The dvc.yaml of a pruned epoch holds one stage, its guard (`stages.pruned`), whose outputs are the files that stay:

epochs/0012/
  dvc.yaml dvc.lock        the guard
  assignments.parquet      and all other small artifacts, as in every epoch
  checkpoint.pt            only if the next epoch is whole, since that one started from it

First dvc.yaml is written, then dvc.lock, then files are deleted. After a kill in between, `planning.write_run` gives
an epoch whose guard is not yet recorded its stages back, and `Retention` deletes what a recorded guard left over.
Later epochs are pruned first, so that an epoch never loses its input while it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.recording.dvc_yaml import guard_yaml
from pipeline.recording.guards import guards
from stages.artifacts.plans import recorded_plans
from stages.artifacts.records import recorded_stages
from stages.artifacts.writing import remove, write_bytes
from stages.dag.epochs import spans
from stages.dag.graph import epoch_nodes, pruned_node
from stages.dag.names import PLAN
from stages.dag.nodes import PRUNED, Node
from stages.errors import Refusal
from stages.parameters.run import RunParams
from stages.words import plural, size

if TYPE_CHECKING:
    from pipeline.recording.recorder import Recorder
from pipeline.retention.policy import Simulation, Step


@dataclass
class Freed:
    """What pruning did, or would do: the numbers of the epochs, and the bytes that are freed."""

    epochs: list[int]
    size: int

    def told(self, run: str, done: str = "pruned") -> str:
        """The line for people."""
        count = plural(len(self.epochs), "epoch")
        return f"run {run}: {count} {done} ({spans(sorted(self.epochs))}), {size(self.size)}"


class Retention:
    """Prunes a run's epochs while later ones are finished.

    It reads from disk once, when it is made, which epochs are pruned, and keeps count of them from then on.

    Args:
        recorder: records guards in DVC; None where nothing is to be pruned, only `would_free` asked.
    """

    def __init__(self, root: Path, params: RunParams, recorder: Recorder | None = None) -> None:
        self.root, self.params, self.recorder = root, params, recorder
        self.guards = guards(root, params)
        self.plans = recorded_plans(root, params)
        self.freed = Freed([], 0)
        self._simulation = Simulation(params.retain, params.start)
        for epoch, guard in self.guards.items():
            self._simulation.found_pruned(epoch, holds="checkpoint" in guard.outs)
        self._settled = -1

    def passed(self, node: Node) -> None:
        """Enters a stage that is done; to be called for all of them, in the order of computation."""
        if node.epoch is None or not node.in_epoch:
            return
        if node.stage == PRUNED:
            self._simulation.newest = node.epoch
        elif "checkpoint" in node.outs:
            self._simulation.finish(node.epoch)

    def settle(self) -> None:
        """Prunes the epochs that are due; does nothing unless an epoch was finished since the last call.

        Raises:
            Refusal: a file that stays is not the one that was recorded; that epoch is left as it is.
        """
        newest = self._simulation.newest
        if newest == self._settled:
            return
        if self._settled < 0:
            self._clear_up()
        for step in self._simulation.prune():
            self._prune(step)
        self._settled = newest

    def would_free(self) -> Freed:
        """The epochs that `settle` would prune, and the bytes that it would free."""
        epochs = []
        files: dict[tuple[int, int], list[int]] = {}
        for step in deepcopy(self._simulation).prune():
            epochs.append(step.epoch)
            for path in self._large(self._guard(step.epoch, step.keeps_network, step.keeps_checkpoint)):
                _count(path, files)
        return Freed(epochs, _freed(files))

    def _clear_up(self) -> None:
        """Deletes what a kill left over: files of recorded guards, and checkpoints that no whole epoch started from."""
        for epoch in sorted(self.guards, reverse=True):
            if "checkpoint" in self.guards[epoch].outs and epoch + 1 in self.guards:
                self._release(epoch)
            self._delete(self.guards[epoch])

    def _prune(self, step: Step) -> None:
        following = self.guards.get(step.epoch + 1)
        if following is not None and "network" in following.deps:
            self._write(replace(following, deps={k: v for k, v in following.deps.items() if k != "network"}))
        self._write(self._guard(step.epoch, step.keeps_network, step.keeps_checkpoint))
        self.freed.epochs.append(step.epoch)
        if step.releases is not None:
            self._release(step.releases)

    def _release(self, epoch: int) -> None:
        """Makes a pruned epoch drop its checkpoint."""
        self._write(self._guard(epoch, epoch - 1 not in self.guards, False))

    def _guard(self, epoch: int, network: bool, checkpoint: bool) -> Node:
        return pruned_node(self.params, epoch, network=network, checkpoint=checkpoint, plans=self.plans)

    def _write(self, guard: Node) -> None:
        assert guard.epoch is not None and self.recorder is not None
        folder = self.root / guard.folder
        recorded = recorded_stages(folder)
        expected = {Path(out["path"]).name: out["md5"] for entry in recorded.values() for out in entry["outs"]}
        before = (folder / PLAN).read_bytes()
        for name, content in guard_yaml(guard).items():
            write_bytes(self.root / name, content.encode())
        try:
            self.recorder.record_guard(guard, expected)
        except Refusal:
            if PRUNED not in recorded_stages(folder):
                write_bytes(folder / PLAN, before)
            raise
        self.guards[guard.epoch] = guard
        self._delete(guard)

    def _delete(self, guard: Node) -> None:
        files: dict[tuple[int, int], list[int]] = {}
        for path in self._large(guard):
            _count(path, files)
            remove(path)
        self.freed.size += _freed(files)

    def _large(self, guard: Node) -> Iterator[Path]:
        """The paths in a pruned epoch's folder that are to be deleted and still there."""
        assert guard.epoch is not None
        kept = {out.path for out in guard.outs.values()}
        folder = self.root / guard.folder
        outs = (out.path for node in epoch_nodes(self.params, guard.epoch) for out in node.outs.values())
        for path in (*(self.root / out for out in outs if out not in kept), *folder.glob(".partial-*")):
            if path.exists():
                yield path


def _count(path: Path, files: dict[tuple[int, int], list[int]]) -> None:
    """Adds the files at or below `path` to `files`: by device and inode, size in bytes, hard links, and links seen."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            stat = file.stat()
            files.setdefault((stat.st_dev, stat.st_ino), [stat.st_size, stat.st_nlink, 0])[2] += 1


def _freed(files: dict[tuple[int, int], list[int]]) -> int:
    """Bytes that deleting these files frees: none for a file with a further hard link elsewhere."""
    return sum(size for size, links, seen in files.values() if seen == links)
