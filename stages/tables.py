"""The paper's tables with the rows of the demo and of its baseline (section 4), at the end of plain `dvc repro`.

reads   data/runs/{demo,demo-random}/evaluations/*/result.json
writes  data/tables/   table1 to table5 and, of what the paper has in no table, others: .csv and .md; tables.html
"""

from stages.artifacts.documents import load_json
from stages.artifacts.paper_tables import write_tables
from stages.parameters.types import NoKeys
from stages.protocols.paper_tables import paper_tables
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 1


def tables(job: Job[NoKeys]) -> None:
    """Writes all tables."""
    write_tables(job.output("tables"), paper_tables(map(load_json, job.inputs("results"))))


if __name__ == "__main__":
    run_stage(tables)
