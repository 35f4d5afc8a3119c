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
    """Prunes the finished epochs that `retain` does not keep.

    Args:
        sets: assignments such as "retain.last=3", which are saved in params.yaml.
        dry: whether to compute only what would be freed, and change nothing.

    Returns:
        The pruned epochs and the bytes that were freed, or would be.

    Raises:
        Refusal: a key is not one of `retain`, or a recorded epoch does not fit the current parameters.
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
    with Engine(root, run_name, report) as engine:
        settings.save()
        half = half_pruned_epochs(root, params)
        if half:
            write_run(root, params, ahead=False)
        # A guard records keys of the run's params.yaml, so this file must be the current one: it is not after an edit
        # of the root's that was resolved and then undone.
        engine.execute(start_nodes(params)[:1], params)
        retention = _finished(Retention(root, params, engine.recorder), states)
        retention.settle()
        if half:
            # With those epochs pruned, everything may be planned again.
            write_run(root, params, ahead=False)
    return retention.freed


def _finished(retention: Retention, states: list[NodeStatus]) -> Retention:
    """Tells `retention` which epochs are finished, up to the first that is not."""
    for status in states:
        if status.node.in_epoch:
            if status.state != "done":
                break
            retention.passed(status.node)
    return retention
