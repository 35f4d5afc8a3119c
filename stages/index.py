"""Looks an evaluation set through, whole: every file that a protocol will open is there, can be read, and fits.

reads   the set's folder, by `path` of its entry in params.yaml
writes  index.parquet     a row a picture
        queries.parquet   a row a query of a retrieval set
        index.json        what evaluations depend on
"""

from collections.abc import Callable, Iterable
from functools import partial

from stages.artifacts.index import write_index
from stages.parameters.sets import SetKeys
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage
from stages.sources.sets import Looked, look_through, survey
from stages.sources.survey import Wanted

REVISION = 1


def index(job: Job[SetKeys]) -> None:
    """Opens every file once.

    Raises:
        Refusal: a file is missing, cannot be read, or does not fit the others.
    """
    found = survey(job.root, job.params.set)
    looked = look_through(found, partial(_ahead, job))
    write_index(job.output("index").parent, found, looked)
    job.images = sum(part.there for part in found.parts[:1])


def _ahead(job: Job[SetKeys], look: Callable[[Wanted], Looked], wanted: list[Wanted]) -> Iterable[Looked]:
    return job.progress(prefetch(look, wanted, job.workers), len(wanted))


if __name__ == "__main__":
    run_stage(index)
