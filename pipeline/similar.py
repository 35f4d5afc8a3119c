"""`similar`: the pictures of a run closest to a given one, and a sheet of them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from pipeline.outputs import PICTURES, refuse_output, write_picture
from pipeline.results.epoch_files import Epoch
from pipeline.results.neighbours import number_of
from pipeline.results.run import Run
from stages.artifacts.sheets import picture_strip
from stages.method.decode import decode
from stages.method.formats import MOST_ASPECT
from stages.method.sheet import TILE, Strip, draw, thumbnail


def similar(run: Run, picture: str, n: int, epoch: Epoch, save: Path | None) -> pd.DataFrame:
    """`run.neighbours`, and where `save` names a file a sheet with the picture first.

    Raises:
        Refusal: the picture is no file and no path of the run, or cannot be read; `save` cannot be written.
    """
    if save is not None:
        refuse_output(save, PICTURES)
    found = run.neighbours(picture, n, epoch)
    if save is not None:
        name = os.path.basename(picture)
        closest = picture_strip(run.packed(), [f"{len(found)} closest", f"run {run.name}"], found["image"])
        write_picture(save, draw([_asked(run, picture, name), closest]))
    return found


def _asked(run: Run, picture: str, name: str) -> Strip:
    own = number_of(run, Path(picture))
    if own is not None:
        return picture_strip(run.packed(), [name, f"image {own}"], [own])
    return Strip([name], [thumbnail(decode(Path(picture).read_bytes(), TILE, MOST_ASPECT))])
