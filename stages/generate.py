"""Draws the demo's labelled pictures, so that the demo needs no download.

writes  pictures/<class>/<number>.png   (H, W, 3) uint8
"""

import io

import numpy as np
from PIL import Image

from stages.artifacts.writing import make_folder, write_bytes
from stages.parameters.dataset import DatasetKeys
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage
from stages.sources.drawings import CLASSES, draw_picture

REVISION = 1


def generate(job: Job[DatasetKeys]) -> None:
    """Draws `generate.images` pictures, of each class in turn, and writes them as PNG."""
    params = job.params.dataset.generate
    assert params is not None
    folder = job.output("pictures")
    for name in CLASSES:
        make_folder(folder / name)

    def draw(number: int) -> int:
        # Each picture has a random state of its own, so that a larger number of images adds some and changes none.
        rng = np.random.default_rng([params.seed, number])
        label = number % len(CLASSES)
        buffer = io.BytesIO()
        Image.fromarray(draw_picture(label, rng)).save(buffer, "PNG", compress_level=1)
        write_bytes(folder / CLASSES[label] / f"{number:05d}.png", buffer.getbuffer())
        return number

    for _ in job.progress(prefetch(draw, range(params.images), job.workers), params.images):
        job.images += 1


if __name__ == "__main__":
    run_stage(generate)
