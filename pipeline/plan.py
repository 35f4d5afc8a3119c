"""`plan`: writes parameters and dvc.yaml files, and computes nothing."""

from __future__ import annotations

from pathlib import Path

from pipeline.ending import end_earlier
from pipeline.preparing import Request, prepare
from pipeline.recording.planning import Planned, write_dataset, write_run
from stages.dag.folders import run_folder
from stages.runtime.locks import only_writer
from stages.runtime.report import Reporter


def plan(root: Path, request: Request, report: Reporter) -> Planned:
    """Writes parameters and dvc.yaml files, and computes nothing."""
    prepared = prepare(root, request)
    for line in prepared.lines:
        report.say(line)
    with only_writer(root / run_folder(request.run), f"run {request.run}"):
        prepared.settings.save()
        if ended := end_earlier(root, prepared.params):
            report.say(ended)
        write_dataset(root, prepared.params.dataset)
        return write_run(root, prepared.params)
