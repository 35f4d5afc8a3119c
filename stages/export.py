"""The table of a run's epochs, and what two runs are compared by.

reads   each epoch's metrics.json, final/clustering.json, pack.json, baseline.json
writes  history.csv    a row an epoch, and the last row for final/, which has no losses
        summary.json   the finished run in one row, which `dvc metrics` compares
"""

from stages.artifacts.documents import load_json, write_json
from stages.artifacts.measures import epoch_row, history_table, summary
from stages.artifacts.writing import write_bytes
from stages.parameters.export import ExportKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 5


def export(job: Job[ExportKeys]) -> None:
    """Writes the table of all epochs.

    Raises:
        Refusal: an input cannot be read.
    """
    rows = [load_json(path) for path in job.inputs("metrics")]
    rows.append(epoch_row(job.params.epochs + 1, clustering=load_json(job.input("clustering"))))
    baseline = load_json(job.input("baseline"))
    write_bytes(job.output("history"), history_table(rows, baseline).to_csv(index=False).encode())
    write_json(job.output("summary"), summary(rows, load_json(job.input("pack"))["images"], baseline))


if __name__ == "__main__":
    run_stage(export)
