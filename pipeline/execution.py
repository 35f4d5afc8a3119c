"""Runs stages in one warm process and records each in DVC as it ends."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from pipeline.recorder import Recorder
from stages.errors import Refusal
from stages.graph import Node, dataset_nodes, figures_node, run_folder
from stages.locks import only_writer
from stages.params import DatasetParams, RunParams
from stages.report import Reporter
from stages.runner import dataset_job, execute, run_job

DEMO = "demo"
"""The run that the root's dvc.yaml draws figures of."""


class Engine:
    """Executes the nodes of one run, skipping what DVC finds up to date.

    Holds the run's lock and its data set's from entry to exit.
    """

    def __init__(self, root: Path, run: str, dataset: str, report: Reporter) -> None:
        self.root, self.report = root, report
        self.run, self.dataset = run, dataset
        self._held = ExitStack()

    def __enter__(self) -> Engine:
        self._held.enter_context(only_writer(self.root / run_folder(self.run), f"run {self.run}"))
        images = self.root / "data/images" / self.dataset
        self._held.enter_context(only_writer(images, f"data set {self.dataset}"))
        self.recorder = Recorder(self.root)
        self._held.callback(self.recorder.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def pack(self, dataset: DatasetParams, *, force: bool = False) -> int:
        nodes = dataset_nodes(dataset.name, generated=dataset.generate is not None)
        return self.execute(nodes, None, forced={nodes[-1].id} if force else set())

    def execute(
        self,
        nodes: Iterable[Node],
        params: RunParams | None,
        forced: set[str] = frozenset(),  # type: ignore[assignment]
    ) -> int:
        """Runs each node that is not up to date, or whose id is in `forced`; how many ran."""
        count = 0
        for node in nodes:
            if node.id in forced or self.recorder.changed(node):
                self._run(node, params)
                count += 1
        return count

    def _run(self, node: Node, params: RunParams | None) -> None:
        module = importlib.import_module(f"stages.{node.stage}")
        self.recorder.clear(node)
        if params is None:
            job = dataset_job(self.root, node, self.report)
        else:
            job = run_job(self.root, node, params, self.report)
        try:
            execute(getattr(module, node.stage), job, params)
        except Refusal as refusal:
            raise Refusal(f"{job.label}: {refusal}") from refusal
        except Exception:
            self.report.note(traceback.format_exc())
            raise
        self.recorder.record(node)


def demo_figures(params: RunParams) -> list[Node]:
    """The root's stage, which belongs to the demo alone."""
    return [figures_node(params.run, params.dataset.name)] if params.run == DEMO else []
