"""wait: how long extract and train wait for their loader."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

from measure import Row, limited
from network import Pictures

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
            with Stopwatch(importlib.import_module(f"stages.{name}")) as watch:
                seconds = project.stage(params, name)
            assert watch.used
            shares.append(100 * watch.waited / seconds)
        n = f"{pictures.size.images} images"
        rows.append(limited("wait", f"{name}: waiting for the loader, {precision}", n, shares, "%", WAIT_BAR))
    return rows


class Stopwatch:
    """While inside, a module's `load_views` tells how long its consumer waited in next()."""

    def __init__(self, module: Any) -> None:
        self.module, self.waited, self.used = module, 0.0, False

    def __enter__(self) -> Stopwatch:
        self.original = self.module.load_views
        self.module.load_views = self._watched
        return self

    def __exit__(self, *_: object) -> None:
        self.module.load_views = self.original

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
