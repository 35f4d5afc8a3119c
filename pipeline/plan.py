"""`plan`: writes params.yaml and the dvc.yaml files of a run, and computes nothing."""

from __future__ import annotations

from pathlib import Path

from pipeline.ending import end_earlier
from pipeline.preparing import Request, baseline_of, prepare
from pipeline.recording.planning import Planned, write_data, write_evaluations, write_run
from stages.dag.folders import run_folder
from stages.dag.graph import root_nodes
from stages.runtime.locks import only_writer
from stages.runtime.report import Reporter


def plan(root: Path, request: Request, report: Reporter) -> Planned:
    """Saves what is asked for in params.yaml and writes the dvc.yaml files of the run, its data and its evaluations.

    With the demo its baseline is planned too, beside which the root's stage shows it.

    Raises:
        Refusal: the request is not valid, or another process writes the run; no file is changed then.
    """
    prepared = prepare(root, request, elsewhere=True)
    for line in prepared.lines:
        report.say(line)
    with only_writer(root / run_folder(request.run), f"run {request.run}"):
        prepared.settings.save()
        if ended := end_earlier(root, prepared.params):
            report.say(ended)
        write_data(root, prepared.params)
        planned = write_run(root, prepared.params) + write_evaluations(root, prepared.params)
    if root_nodes(prepared.params) and prepared.params.evaluations:
        planned += plan(root, baseline_of(prepared.params), report)
    return planned
