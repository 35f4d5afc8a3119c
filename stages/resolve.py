"""Resolves the root's params.yaml into the parameters of one run.

reads   params.yaml of the root, pack.json (to check counts against), REVISION of each stage
writes  params.yaml of the run, which every other stage reads
"""

from collections.abc import Iterator

import yaml

from stages.artifacts import load_json, load_yaml
from stages.checks import check_counts
from stages.errors import Refusal
from stages.folders import own_epochs
from stages.graph import epoch_nodes
from stages.job import Job, as_values
from stages.params import RunParams
from stages.publish import write_bytes
from stages.runner import run_stage


def resolve(job: Job) -> None:
    params: RunParams = job.params.run
    packed = load_json(job.input("pack"))
    check_counts(params, packed["images"], packed["labelled"])
    for difference in _differences(job, params):
        raise Refusal(
            f"{difference}: `python -m pipeline plan --run {params.run}`, then again; a stage cannot "
            "plan epochs for the `dvc repro` that runs it"
        )
    write_bytes(job.output("params"), render(params))


def render(params: RunParams) -> bytes:
    """The content of a run's params.yaml."""
    head = "# Made by the stage `resolve` from the root's params.yaml: edit that one.\n"
    return (head + yaml.safe_dump(as_values(params), sort_keys=False)).encode()


def _differences(job: Job, params: RunParams) -> Iterator[str]:
    """What the parameters ask for and the generated dvc.yaml files do not plan."""
    folder = job.folder / "epochs"
    planned = sorted(int(path.parent.name) for path in folder.glob("*/dvc.yaml"))
    if planned != list(own_epochs(params)):
        last = max(planned, default=params.start)
        yield f"params.yaml asks for {params.epochs} epochs and {last} are planned"
        return
    for epoch in planned:
        stages = set(load_yaml(folder / f"{epoch:04d}/dvc.yaml")["stages"])
        expected = {node.stage for node in epoch_nodes(params, epoch)}
        if stages != expected:
            yield f"cluster.every: {params.cluster.every} is not what epoch {epoch} is planned for"
            return


if __name__ == "__main__":
    run_stage(resolve)
