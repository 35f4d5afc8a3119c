"""`prune`: drops the large artifacts of the finished epochs that `retain` does not keep."""

from __future__ import annotations

from pathlib import Path

from pipeline.recomputing import refuse_pruned, refuse_recomputing
from pipeline.recording.inspector import NodeStatus, of_run
from pipeline.recording.planning import half_pruned_epochs, refuse_other_plan, write_run
from pipeline.retention.pruning import Freed, Retention
from pipeline.settings import Settings
from stages.artifacts.run_params import load_run_params
from stages.dag.folders import run_folder
from stages.dag.graph import start_nodes
from stages.errors import Refusal
from stages.runtime.report import Reporter


def prune(root: Path, run_name: str, sets: list[str], dry: bool, report: Reporter) -> Freed:
    """Prunes the finished epochs that `retain` drops; `dry`: only tells which.

    Raises:
        Refusal: a recorded epoch does not belong to the parameters that now hold.
    """
    from pipeline.recording.engine import Engine

    settings = Settings(root)
    if other := next((text for text in sets if not text.strip().startswith("retain.")), None):
        raise Refusal(f"--set {other}: prune takes retain.last and retain.every alone; others go with `run`")
    load_run_params(root / run_folder(run_name))
    for assignment in sets:
        settings.set_text(run_name, assignment)
    params = settings.resolve(run_name)
    refuse_other_plan(root, params)
    states = of_run(root, params, settings.content)
    refuse_pruned(root, params, states)
    refuse_recomputing(root, params, states, yes=False)
    if dry:
        return _finished(Retention(root, params), states).would_free()
    with Engine(root, run_name, params.dataset.name, report) as engine:
        settings.save()
        if half_pruned_epochs(root, params):
            write_run(root, params)
        # Guards record the run's own file, which an edit since undone may have left another.
        engine.execute(start_nodes(params)[:1], params)
        retention = _finished(Retention(root, params, engine.recorder), states)
        retention.settle()
    return retention.freed


def _finished(retention: Retention, states: list[NodeStatus]) -> Retention:
    """Shows the finished epochs to `retention`, up to the first that is not."""
    for status in states:
        if status.node.in_epoch:
            if status.state != "done":
                break
            retention.passed(status.node)
    return retention
