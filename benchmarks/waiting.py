"""wait: how long extract and train wait for their loader."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

from measure import Row, limited, tell
from network import Pictures
from scratch import Project

WAIT_BAR = 3.0
"""Most per cent of a stage's time that it may wait for its loader."""


def wait(pictures: Pictures) -> list[Row]:
    """Share of a stage's seconds in which it waits for its loader."""
    rows = []
    project = pictures.project
    precision = pictures.precisions[-1]
    params = pictures.run("stage", precision)
    for name in ("extract", "train"):
        shares = []
        for _ in range(max(1, min(3, pictures.size.pairs // 2))):
            module = importlib.import_module(f"stages.{name}")
            with Stopwatch(module) as watch:
                seconds = project.stage(params, name)
            reported = told(project, params.run)
            if reported is None and not watch.used:
                tell(f"wait: {name} has no loader that can be watched")
                continue
            shares.append(100 * watch.waited / seconds if reported is None else reported)
        if shares:
            n = f"{pictures.size.images} images"
            rows.append(limited("wait", f"{name}: waiting for the loader, {precision}", n, shares, "%", WAIT_BAR))
    return rows


def told(project: Project, run: str) -> float | None:
    """Per cent of waiting in the last line of timings.csv, where a column tells it in seconds."""
    row = project.timings(f"data/runs/{run}")[-1]
    column = next((name for name in row if "wait" in name), None)
    if column is None or not row[column]:
        return None
    value = float(row[column])
    return 100 * value if "share" in column else 100 * value / float(row["seconds"])


class Stopwatch:
    """While inside, a module's `prefetch` tells how long its consumer waited in next()."""

    def __init__(self, module: Any) -> None:
        self.module, self.waited, self.used = module, 0.0, False

    def __enter__(self) -> Stopwatch:
        self.original = getattr(self.module, "prefetch", None)
        if self.original is not None:
            self.module.prefetch = self._watched
        return self

    def __exit__(self, *_: object) -> None:
        if self.original is not None:
            self.module.prefetch = self.original

    def _watched(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        self.used = True
        items = iter(self.original(*arguments, **named))
        while True:
            started = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.waited += time.perf_counter() - started
            yield item
