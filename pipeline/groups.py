"""`groups`: the clusters of a run as a table, or as folders of links to the pictures."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from pipeline.outputs import TABLES, beside, refuse_output, write_table
from pipeline.results.epoch_files import Epoch
from pipeline.results.run import Run
from stages.errors import Refusal
from stages.runtime.report import counted, printable


def write_groups(run: Run, out: Path, epoch: Epoch) -> str:
    """Writes `run.groups()` as CSV or parquet, by the ending; what to tell."""
    refuse_output(out, TABLES)
    frame = run.groups(epoch)
    write_table(out, frame)
    return f"{_told(frame)}: {out}"


def link_groups(run: Run, folder: Path, epoch: Epoch, *, copy: bool) -> list[str]:
    """Makes a folder that holds a folder a cluster, and in it links to the pictures' files, or copies; what to tell.

    A link has the name of its file. Where two of a cluster have the same, each bears the number of its image too.

    Raises:
        Refusal: something is there already, or no picture's file is there any more.
    """
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise Refusal(f"{folder} is there already, and nothing in it is touched: name a new folder with --link")
    if not folder.exists():
        refuse_output(folder)
    frame = run.groups(epoch)
    there = [os.path.isfile(path) for path in frame["path"]]
    gone = frame[~pd.Series(there, index=frame.index)]
    if not any(there):
        raise Refusal(
            f"the pictures of run {run.name} are gone, such as {printable(frame['path'].iloc[0])}; {folder} is not "
            f"written: `python -m pipeline show --run {run.name} --save sheet.png` draws them from the packed ones"
        )
    frame = frame[there]
    digits = len(str(frame["cluster"].max()))
    with beside(Path(os.path.abspath(folder))) as partial:
        for cluster, members in frame.groupby("cluster"):
            place = partial / f"{cluster:0{digits}d}"
            place.mkdir(parents=True)
            for path, name in zip(members["path"], file_names(members), strict=True):
                if copy:
                    shutil.copy2(path, place / name)
                else:
                    os.symlink(path, place / name)
    what = "copies" if copy else "links"
    lines = [f"{_told(frame)}: {what} in {folder}"]
    if len(gone):
        lines.append(
            f"left out, since gone: {counted(len(gone), 'picture')}, such as {printable(gone['path'].iloc[0])}"
        )
    return lines


def file_names(members: pd.DataFrame) -> Iterator[str]:
    """A name for each picture of a folder, different from all others also where a disk knows no capital letters."""
    names = [os.path.basename(path) for path in members["path"]]
    counts = Counter(map(str.casefold, names))
    taken = {name for name, count in counts.items() if count == 1}
    for name, image in zip(names, members["image"], strict=True):
        if counts[name.casefold()] > 1:
            stem, ending = os.path.splitext(name)
            name = _free((f"{stem}-{image}{'_' * more}{ending}" for more in range(len(names) + 1)), taken)
            taken.add(name.casefold())
        yield name


def _free(names: Iterable[str], taken: set[str]) -> str:
    return next(name for name in names if name.casefold() not in taken)


def _told(frame: pd.DataFrame) -> str:
    return f"{counted(len(frame), 'picture')} in {counted(frame['cluster'].nunique(), 'cluster')}"
