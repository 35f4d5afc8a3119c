"""The boxes that may hold an object, of every picture of a set that detection reads (section 4.4).

reads   index.json, and the files of selective search that the set's entry names
writes  proposals.parquet   a row a picture: name, source (a file, or what searched it), boxes
"""

from collections.abc import Iterator
from pathlib import Path

from stages.artifacts.index import EvaluationIndex
from stages.artifacts.proposals import Proposed, write_proposals
from stages.parameters.sets import SetKeys
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage
from stages.sources.proposals import read_proposals
from stages.sources.selective_search import opencv, selective_search

REVISION = 1


def proposals(job: Job[SetKeys]) -> None:
    """Reads the files that there are, and searches the pictures of the other splits where the entry says so.

    Raises:
        Refusal: a file is missing or of another set, or OpenCV is.
    """
    write_proposals(job.output("proposals"), sorted(_found(job, job.index("index")), key=lambda one: one[0]))


def _found(job: Job[SetKeys], index: EvaluationIndex) -> Iterator[tuple[str, Proposed]]:
    entry = job.params.set
    read: set[int] = set()
    for split, path in entry.proposals.items():
        rows = [int(row) for row in index.rows(split, "Main") if int(row) not in read]
        sizes = {index.names[row]: (int(index.height[row]), int(index.width[row])) for row in rows}
        for name, boxes in read_proposals(job.root / path, sizes).items():
            yield name, Proposed(Path(path).name, boxes)
        read.update(rows)
    job.images = len(read)
    if entry.search is None:
        return
    opencv()
    mode = entry.search
    rows = [row for row in range(len(index)) if row not in read]
    searched = prefetch(lambda row: (index.names[row], selective_search(index.picture(row), mode)), rows, job.workers)
    for name, boxes in job.progress(searched, len(rows)):
        job.images += 1
        yield name, Proposed(f"selective search by OpenCV, {mode}", boxes)


if __name__ == "__main__":
    run_stage(proposals)
