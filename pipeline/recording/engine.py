"""Runs stages in one warm process and records each in DVC as it ends."""

from __future__ import annotations

import importlib
import posixpath
import traceback
from collections.abc import Iterable, Set
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Protocol

from pipeline.recording.recorder import Recorder
from pipeline.recording.stage_plan import StagePlan
from stages.artifacts.guards import reason
from stages.dag.folders import run_folder
from stages.dag.nodes import PRUNED, Node
from stages.errors import Refusal
from stages.parameters.differences import as_values
from stages.parameters.run import RunParams
from stages.runtime.job import data_job, run_job
from stages.runtime.locks import only_writer
from stages.runtime.report import Reporter
from stages.runtime.runner import called, execute, reads_data
from stages.sources.listing import list_dataset


class Follower(Protocol):
    """Follows the stages as they are done: `pipeline.retention`, which prunes."""

    def passed(self, node: Node) -> None: ...

    def settle(self) -> None: ...


class Engine:
    """Executes nodes, skipping what DVC finds up to date.

    Holds the lock of `run`, where one is named, from entry to exit; that of a data set alone while it is packed, and
    with others from the first stage that reads it on: several runs on one data set go on side by side, and nobody
    packs it. So with evaluation sets.
    """

    def __init__(self, root: Path, run: str | None, report: Reporter) -> None:
        self.root, self.run, self.report = root, run, report
        self.plan = StagePlan(root)
        self._read: set[str] = set()

    def __enter__(self) -> Engine:
        # Before any folder is made: what DVC refuses leaves none behind.
        self.recorder = Recorder(self.root, self.report.say)
        with ExitStack() as held:
            held.callback(self.recorder.close)
            if self.run is not None:
                held.enter_context(only_writer(self.root / run_folder(self.run), f"run {self.run}"))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def provide(self, nodes: Iterable[Node], *, force: str | None = None) -> int:
        """Makes data sets and evaluation sets where they are not up to date, the stage `force` in any case.

        Args:
            nodes: their stages, those of a folder one after the other.

        Returns:
            How many stages ran.
        """
        count = 0
        for folder, group in groupby(nodes, lambda node: node.folder):
            stages = list(group)
            forced = {node.id for node in stages if node.stage == force}
            if forced or any(self._changed(node) for node in stages):
                with only_writer(self.root / folder, called(folder)):
                    count += self.execute(stages, None, forced)
        return count

    def execute(
        self,
        nodes: Iterable[Node],
        params: RunParams | None,
        forced: Set[str] = frozenset(),
        retention: Follower | None = None,
    ) -> int:
        """Runs each node that is not up to date, or whose id is in `forced`; how many ran.

        `retention` prunes finished epochs before a stage is run, and at the end.
        """
        count = 0
        for node in nodes:
            if params is not None:
                self._hold(node)
            if node.id in forced or self._changed(node):
                if retention:
                    retention.settle()
                self._run(node, params)
                count += 1
            if retention:
                retention.passed(node)
        if retention:
            retention.settle()
        return count

    def _hold(self, node: Node) -> None:
        """Keeps the data that a stage reads as it is until the engine is left."""
        folders = {posixpath.dirname(path) for path in node.all_deps()}
        if not folders <= self._read:
            self._held.enter_context(reads_data(self.root, node, self._read))
            self._read |= folders

    def _changed(self, node: Node) -> bool:
        """Whether a stage must run; one that is not planned as it is today was never made so."""
        return not self.plan.holds(node) or self.recorder.changed(node)

    def _run(self, node: Node, params: RunParams | None) -> None:
        if node.stage == PRUNED:
            assert params is not None and node.run is not None and node.epoch is not None
            raise Refusal(reason(self.root, node.run, node.epoch, as_values(params)))
        module = importlib.import_module(f"stages.{node.stage}")
        if params is None:
            job = data_job(self.root, node, self.report)
        else:
            job = run_job(self.root, node, params, self.report)
        # What is missing refuses before the former outputs are removed.
        job.fingerprint()
        if node.stage == "pack":
            list_dataset(self.root, job.params.dataset, job.folder, enough=1)
        self.recorder.clear(node, planned=self.plan.holds(node))
        try:
            execute(getattr(module, node.stage), job, params)
        except Refusal as refusal:
            raise Refusal(f"{job.label}: {refusal}") from refusal
        except Exception:
            self.report.note(traceback.format_exc())
            raise
        self.plan.add(node)
        self.recorder.record(node)
