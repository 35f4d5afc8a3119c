"""Resolves the root's params.yaml into the parameters of one run.

reads   params.yaml of the root, pack.json (counts to check the parameters against), REVISION of each stage
writes  params.yaml of the run, which every other stage reads
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.artifacts.documents import load_json
from stages.artifacts.guards import changed_key, reason
from stages.artifacts.plans import misfit, of_other_recipe, planned_stages, untracked
from stages.artifacts.records import pruned_record
from stages.artifacts.run_params import render
from stages.artifacts.writing import write_bytes
from stages.dag.epochs import epochs_with, own_epochs
from stages.dag.folders import epoch_folder
from stages.dag.names import PACK, PLAN
from stages.dag.nodes import UNFINISHED
from stages.errors import Refusal
from stages.parameters.checks import check_counts
from stages.parameters.differences import as_values
from stages.parameters.keys import flat
from stages.parameters.resolve import ResolveKeys
from stages.parameters.run import RunParams
from stages.runtime.job import Job
from stages.runtime.runner import run_stage


def resolve(job: Job[ResolveKeys]) -> None:
    """Writes the run's params.yaml once it is known to fit the pictures, the planned epochs and the pruned ones.

    Raises:
        Refusal: the parameters do not fit the number of images, ask for other epochs or stages than are planned, or
            would compute a pruned epoch again.
    """
    params = job.params.run
    if job.reads("pack"):
        packed = load_json(job.input("pack"))
        check_counts(params, packed["images"], packed["labelled"])
    for difference in _differences(job, params):
        raise Refusal(
            f"{difference}: `python -m pipeline plan --run {params.run}`, then again; a stage cannot "
            "plan epochs for the `dvc repro` that runs it"
        )
    _refuse_pruned(job, params)
    write_bytes(job.output("params"), render(params))


def _differences(job: Job[ResolveKeys], params: RunParams) -> Iterator[str]:
    """What the parameters ask for that the generated dvc.yaml files do not plan, a line each; the first at most."""
    planned = epochs_with(job.folder, PLAN)
    asked = list(own_epochs(params))
    # `run` plans an epoch when it comes, and says by `unfinished` that more are to come.
    growing = UNFINISHED in (planned_stages(job.folder) or {})
    if planned != asked[: len(planned)] or (planned != asked and not growing):
        last = max(planned, default=params.start)
        yield f"params.yaml asks for {params.epochs} epochs and {last} are planned"
        return
    values = as_values(params)
    folders = {f"epoch {epoch}": job.root / epoch_folder(params.run, epoch) for epoch in planned}
    folders |= {"final": job.root / epoch_folder(params.run, "final"), "export": job.folder}
    for where, folder in folders.items():
        stages = planned_stages(folder) or {}
        if where.startswith("epoch"):
            key = misfit(params, int(folder.name), stages)
        else:
            # While a run grows, `run` plans the stages of final/ anew when it comes to them.
            key = "recipe" if not growing and of_other_recipe(params, stages) else None
        if key is not None:
            yield f"{key}: {flat(values)[key]} is not what {where} is planned for"
            return
        if key := next(untracked(stages, values, final=where == "final"), None):
            yield f"{key}: {where} of run {params.run} was planned before there was such a key, and does not follow it"
            return


def _refuse_pruned(job: Job[ResolveKeys], params: RunParams) -> None:
    # The guards would stop `dvc repro` too, but only after stages of earlier epochs have replaced their results.
    values = as_values(params)
    for epoch in own_epochs(params):
        entry = pruned_record(job.root / epoch_folder(params.run, epoch))
        if entry is not None and (changed_key(entry, values) or _packed_anew(entry, job)):
            raise Refusal(reason(job.root, params.run, epoch, values))


def _packed_anew(entry: dict[str, Any], job: Job[ResolveKeys]) -> bool:
    """Whether the pictures were packed again since a guard recorded them."""
    with open(job.input("pack"), "rb") as file:
        now = hashlib.file_digest(file, "md5").hexdigest()
    return any(Path(dep["path"]).name == PACK and dep["md5"] != now for dep in entry.get("deps", []))


if __name__ == "__main__":
    run_stage(resolve)
