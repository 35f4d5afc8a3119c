"""packing: how much faster pack is with more workers, by threads alone and with a process each."""

from __future__ import annotations

import resource
import sys
import time
from functools import partial
from unittest.mock import patch

import numpy as np
from measure import Row, Side, at_least, interleaved, quartiles
from network import Pictures
from scratch import Project

from stages.runtime import readers, runner
from stages.runtime.threads import usable_cores

CORES = 16
"""The most workers that are tried, and the number that is computed where there are fewer cores."""

SHARE = 0.7
"""Least share of as many times the speed of one worker as there are workers."""

ONE = "1 thread"

Cpu = tuple[float, float]
"""Seconds of processor time: of the stage's own process, and of those that read for it."""


def packing(pictures: Pictures) -> list[Row]:
    """pack of the same JPEGs with 1, 2, 4, ... workers, as many as there are cores; the ratio is that to one worker."""
    size, project = pictures.size, pictures.project
    project.dataset("packing", pictures.jpegs)
    counts = [workers for workers in (2, 4, 8, CORES) if workers <= usable_cores()]
    cpu: dict[str, list[Cpu]] = {}
    sides = [Side(ONE, partial(_packed, project, 1, False, []))]
    for workers in counts:
        for processes in (False, True):
            name = f"{workers} {'processes' if processes else 'threads'}"
            sides.append(Side(name, partial(_packed, project, workers, processes, cpu.setdefault(name, []))))
    seconds = interleaved(sides, size.pairs)
    n = f"{size.images} JPEGs"
    rows = [Row("packing", ONE, n, len(seconds[ONE]), float(np.median(seconds[ONE])))]
    for name, spent in cpu.items():
        q1, median, q3 = quartiles([one / many for one, many in zip(seconds[ONE], seconds[name], strict=True)])
        row = Row("packing", name, n, len(seconds[name]), float(np.median(seconds[name])), "s", ONE, median, q1, q3)
        if name.endswith("processes"):
            bar = SHARE * int(name.split()[0])
            note = _computed(spent, size.images, float(np.median(seconds[ONE])))
            row = Row(**{**vars(row), "bar": f"≥ {bar:.3g}×", "verdict": at_least(bar, q1, q3), "note": note})
        rows.append(row)
    return rows


def _packed(project: Project, workers: int, processes: bool, cpu: list[Cpu]) -> float:
    """Seconds of pack with so many workers, which are processes or are not."""
    before = _cpu()
    with (
        patch.object(runner, "usable_cores", lambda: workers),
        patch.object(readers, "MOST_THREADS", 0 if processes else sys.maxsize),
        patch.object(readers, "FEWEST", 0),
    ):
        seconds = project.packing("packing")
    after = _cpu()
    cpu.append((after[0] - before[0], after[1] - before[1]))
    return seconds


def _cpu() -> Cpu:
    readers_own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), readers_own.ru_utime + readers_own.ru_stime


def _computed(cpu: list[Cpu], images: int, one: float) -> str:
    """What `CORES` cores could give, if all work were spread over them and the stage's own process were one thread."""
    own, read = np.median(cpu, axis=0)
    least = max(own, (own + read) / CORES)
    each = f"{1000 * own / images:.2f} ms of a picture in the stage, {1000 * read / images:.2f} ms in processes"
    return f"{each}; {CORES} cores, computed: {one / least:.1f}× at most"
