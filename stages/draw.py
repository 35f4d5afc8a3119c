"""Draws an evaluation set of the demo, so that it needs no download: files as the real set has them.

writes  pictures/   a VOCdevkit's VOC2007, or the folders of Oxford5k or Paris6k
"""

from stages.artifacts.writing import make_folder, write_bytes
from stages.parameters.sets import SetKeys
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage
from stages.sources.drawn import draw_set

REVISION = 1


def draw(job: Job[SetKeys]) -> None:
    """Writes every file of the set."""
    folder = job.output("pictures")

    def write(file: tuple[str, bytes]) -> str:
        name, content = file
        make_folder((folder / name).parent)
        write_bytes(folder / name, content)
        return name

    # Each write waits for the disk, so several wait at once.
    for name in prefetch(write, draw_set(job.params.set), job.workers):
        job.images += name.endswith(".jpg")


if __name__ == "__main__":
    run_stage(draw)
