"""Resolves the root's params.yaml into the parameters of one run.

reads   params.yaml of the root, pack.json (to check counts against), REVISION of each stage
writes  params.yaml of the run, which every other stage reads
"""

import yaml

from stages.artifacts import load_json
from stages.errors import Refusal
from stages.graph import own_epochs
from stages.params import RunParams, check_counts
from stages.publish import write_bytes
from stages.runner import Job, as_values, run_stage


def resolve(job: Job) -> None:
    params: RunParams = job.params.run
    pack = load_json(job.input("pack"))
    check_counts(params, pack["images"])
    planned = planned_epochs(job)
    if planned != list(own_epochs(params)):
        raise Refusal(
            f"params.yaml asks for {params.epochs} epochs and {max(planned, default=params.start)} are "
            f"planned: `python -m pipeline plan --run {params.run}`, then again"
        )
    write_bytes(job.output("params"), render(params))


def render(params: RunParams) -> bytes:
    """The content of a run's params.yaml."""
    head = "# Made by the stage `resolve` from the root's params.yaml: edit that one.\n"
    return (head + yaml.safe_dump(as_values(params), sort_keys=False)).encode()


def planned_epochs(job: Job) -> list[int]:
    """Epochs whose folder holds a dvc.yaml."""
    return sorted(int(path.parent.name) for path in (job.folder / "epochs").glob("*/dvc.yaml"))


if __name__ == "__main__":
    run_stage(resolve)
