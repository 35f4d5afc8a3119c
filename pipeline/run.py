"""`run`: computes what is not up to date, in one process, and records each stage."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline.drift import refuse_equal
from pipeline.ending import end_earlier
from pipeline.evaluation_data import refuse_unfit
from pipeline.machine import other_threads
from pipeline.pace import further, with_forecast
from pipeline.preparing import Request, baseline_of, prepare
from pipeline.recomputing import refuse_recomputing
from pipeline.recording.inspector import nodes_on_disk, of_run
from pipeline.recording.planning import write_data, write_run
from pipeline.results.verdict import verdict
from pipeline.retention.pruning import Retention
from stages.artifacts.documents import load_json
from stages.dag.data import data_nodes
from stages.dag.folders import dataset_folder, run_folder
from stages.dag.graph import root_nodes
from stages.dag.names import LOG, PACK, SUMMARY
from stages.dag.nodes import Node
from stages.parameters.checks import check_counts
from stages.parameters.run import RunParams
from stages.runtime.report import Reporter
from stages.words import duration, plural


def run(root: Path, request: Request, report: Reporter) -> RunParams:
    """Computes the stages of a run and its data set that are not up to date, in this process, and records each.

    Returns:
        The run's parameters.

    Raises:
        Refusal: the request is not valid, recorded epochs would be lost, or a stage refuses.
    """
    from pipeline.recording.engine import Engine

    prepared = prepare(root, request)
    params = prepared.params
    lines = [*prepared.lines, other_threads(root, params)]
    started = time.monotonic()
    data = data_nodes(params)
    with Engine(root, params.run, report) as engine:
        # From here on the run exists; what was refused before leaves no folder behind.
        report.log = root / run_folder(params.run) / LOG
        for line in filter(None, lines):
            report.say(line)
        prepared.settings.save()
        write_data(root, params, ahead=False)
        # That of the evaluations too: what is wrong with it is told before days of training.
        count = engine.provide(data)
        refuse_unfit(root, params)
        if params.dataset:
            # Checked again, now with the pictures that could be packed; `prepare` knew only how many files there are.
            packed = load_json(root / dataset_folder(params.dataset.name) / PACK)
            check_counts(params, packed["images"], packed["labelled"])
        if params.dataset and count:
            refuse_equal(root, params.dataset)
            # What an epoch was made from was perhaps not to be told before.
            refuse_recomputing(root, params, of_run(root, params), yes=request.yes)
        if ended := end_earlier(root, params):
            report.say(ended)
        if dropped := write_run(root, params, ahead=False).removed:
            report.say(f"run {params.run}: {plural(len(dropped), 'planned epoch')} beyond {params.epochs} dropped")
        nodes = [node for node in nodes_on_disk(root, params) if node.run and node.folder != "."]
        retention = Retention(root, params, engine.recorder)
        progress = report.progress(nodes, f"run {params.run}, stages", len(nodes), lambda _: 1)
        # Run by force: DVC would take a damaged file of the recorded size and time for the recorded one.
        damaged = {status.node.id for status in prepared.states if status.damaged}
        count += engine.execute(with_forecast(progress, prepared.states, report.say), params, damaged, retention)
        # All is made: nothing is unfinished.
        write_run(root, params)
    if roots := root_nodes(params):
        count += _tables(root, params, roots, report)
    if retention.freed.epochs:
        report.say(retention.freed.told(params.run))
    report.say(
        f"run {params.run}: {plural(count, 'stage')} run in {duration(time.monotonic() - started)}, all "
        f"{len(nodes) + len(data) + len(roots)} up to date"
        if count
        else f"run {params.run}: nothing to do, all stages are up to date"
    )
    summary = root / run_folder(params.run) / SUMMARY
    if summary.exists():
        for line in filter(None, [*verdict(load_json(summary), params), further(root, params)]):
            report.say(f"run {params.run}: {line}")
    return params


def _tables(root: Path, params: RunParams, nodes: list[Node], report: Reporter) -> int:
    """Computes the root's stages of the demo, and its baseline first, whose rows they show; how many of them ran."""
    from pipeline.recording.engine import Engine

    if params.evaluations:
        log = report.log
        run(root, baseline_of(params), report)
        report.log = log
    with Engine(root, params.run, report) as engine:
        return engine.execute(nodes, params)
