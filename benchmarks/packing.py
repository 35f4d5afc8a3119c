"""packing: how much faster pack is with more workers, by threads alone and with a process each."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
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

    def side(name: str, workers: int, processes: bool) -> Side:
        return Side(name, partial(_packed, project, workers, processes, cpu.setdefault(name, [])))

    sides = [side(ONE, 1, False)]
    for workers in counts:
        sides += [side(f"{workers} threads", workers, False), side(f"{workers} processes", workers, True)]
    seconds = interleaved(sides, size.pairs)
    rows = []
    for name, spent in seconds.items():
        row = Row("packing", name, f"{size.images} JPEGs", len(spent), float(np.median(spent)))
        if name != ONE:
            q1, median, q3 = quartiles([one / many for one, many in zip(seconds[ONE], spent, strict=True)])
            row = replace(row, against=ONE, ratio=median, q1=q1, q3=q3)
        if name.endswith("processes"):
            bar = SHARE * int(name.split()[0])
            note = _computed(cpu[ONE], cpu[name], size.images)
            row = replace(row, bar=f"≥ {bar:.3g}×", verdict=at_least(bar, q1, q3), note=note)
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


def _computed(alone: list[Cpu], shared: list[Cpu], images: int) -> str:
    """Processor time of a picture, and how many times one thread's speed `CORES` cores could give of it at most."""
    one = 1000 * float(np.median(alone, axis=0)[0]) / images
    own, read = 1000 * np.median(shared, axis=0) / images
    return (
        f"{own:.2f} ms of processor time a picture in the stage and {read:.2f} ms in processes, {one:.2f} ms by one "
        f"thread: {CORES} cores, computed, {CORES * one / (own + read):.1f}× at most"
    )
