"""What the tests of stages/runtime/ share: any function in the place of a stage."""

from pathlib import Path

from stage_helpers import EPOCH, RUN, Stopping

from stages.artifacts.run_params import load_run_params
from stages.runtime.job import run_job
from stages.runtime.runner import execute, find_node


def job(project, stage="pseudolabel", where=EPOCH):
    params = load_run_params(project.root / RUN)
    return run_job(project.root, find_node(project.root, params, Path(RUN) / where, stage), params, Stopping())


def run(project, function, stage="pseudolabel", where=EPOCH):
    """Runs `function` in the place of a stage."""
    execute(function, job(project, stage, where), load_run_params(project.root / RUN))


def writing(content=b"new"):
    return lambda job: job.output("pseudolabels").write_bytes(content)


def labels(project):
    return project.root / RUN / EPOCH / "pseudolabels.parquet"
