"""Pictures close to one another in the space that an epoch clusters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.results.epoch_files import Epoch, EpochFiles
from stages.errors import Refusal
from stages.method.neighbours import nearest_pairs, nearest_rows

if TYPE_CHECKING:
    from pipeline.results.run import Run


def neighbours(run: Run, files: EpochFiles, image: int | str | Path, n: int, epoch: Epoch) -> pd.DataFrame:
    """See `Run.neighbours`."""
    rows = files.clustered_rows(epoch)
    own = image if isinstance(image, int | np.integer) else number_of(run, Path(image))
    if own is not None and not 0 <= own < len(rows):
        raise Refusal(f"image {own}: run {run.name} has images 0 to {len(rows) - 1}")
    query = rows[own][None] if own is not None else _through_network(files, Path(str(image)), epoch)
    index, distance = nearest_rows(query, rows, n + (own is not None))
    found = pd.DataFrame({"image": index[0], "distance": distance[0]})
    found = found[found["image"] != own].head(n).reset_index(drop=True)
    cluster = run.assignments(epoch)["cluster"].to_numpy()[found["image"]]
    found.insert(1, "cluster", cluster)
    found.insert(1, "path", run.images()["path"].to_numpy()[found["image"]])
    return found


def number_of(run: Run, file: Path) -> int | None:
    """The number of the run's picture that is this file, or whose name in the run this is; None where there is none."""
    for names, wanted in ((run.sources(), os.path.abspath(file)), (run.images()["path"], str(file))):
        (found,) = np.nonzero((names == wanted).to_numpy())
        if len(found):
            return int(found[0])
    return None


def _through_network(files: EpochFiles, file: Path, epoch: Epoch) -> NDArray[np.float32]:
    from pipeline.results.embedder import Embedder
    from stages.method.decode import Unreadable, decode
    from stages.method.formats import MOST_ASPECT
    from stages.runtime.report import Reporter

    try:
        content = file.read_bytes()
    except OSError as error:
        raise Refusal(
            f"{file} cannot be opened ({error.strerror}), and run {files.run} has no picture of that name: give a "
            f"picture's file, or a path that `python -m pipeline show --run {files.run}` lists"
        ) from None
    embedder = Embedder(files, epoch, Reporter())
    try:
        picture = decode(content, files.params.pictures.size, MOST_ASPECT)
    except Unreadable as error:
        raise Refusal(f"{file} cannot be read as a picture ({error}): give another") from None
    return embedder.whitened([embedder.crop(picture)])


def pairs_table(rows: NDArray[np.float32], paths: pd.Series[Any], n: int) -> pd.DataFrame:
    """See `Run.nearest_pairs`."""
    a, b, distance = nearest_pairs(rows, n)
    names = paths.to_numpy()
    return pd.DataFrame(
        {"distance": distance, "image_a": a, "image_b": b, "path_a": names[a], "path_b": names[b]},
    )
