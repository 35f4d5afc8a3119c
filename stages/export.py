"""A run's results for use outside of the pipeline: weights of the backbone, and the table of epochs.

reads   the last checkpoint.pt, each epoch's metrics.json, final/clustering.json, pack.json
writes  model.safetensors   the backbone, without any top layer
        history.csv         a row an epoch, and the last row for final/, which has no losses
        summary.json        the finished run in one row, which `dvc metrics` compares
"""

import json

from safetensors.torch import save

from stages.artifacts.checkpoints import load
from stages.artifacts.documents import load_json, write_json
from stages.artifacts.measures import epoch_row, history_table, summary
from stages.artifacts.writing import write_bytes
from stages.parameters.model import ModelKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 2


def export(job: Job[ModelKeys]) -> None:
    """Writes the weights of the last checkpoint and the table of all epochs.

    Raises:
        Refusal: an input cannot be read.
    """
    rows = [load_json(path) for path in job.inputs("metrics")]
    last = rows[-1]["epoch"] if rows else _start(job)
    rows.append(epoch_row(last + 1, clustering=load_json(job.input("clustering"))))
    write_bytes(job.output("history"), history_table(rows).to_csv(index=False).encode())
    write_json(job.output("summary"), summary(rows, load_json(job.input("pack"))["images"]))
    state = load(job.input("network"))["network"]
    # All metadata under one key: safetensors writes several in random order, and equal runs must give equal bytes.
    about = {"deepcluster": json.dumps(job.params.model.model_dump(), sort_keys=True)}
    tensors = {name: value.contiguous() for name, value in state.items()}
    write_bytes(job.output("weights"), save(tensors, metadata=about))


def _start(job: Job[ModelKeys]) -> int:
    return int(job.input("network").parent.name)


if __name__ == "__main__":
    run_stage(export)
