"""Batches prepared by threads while the network computes; their order and content do not depend on the threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


def prefetch(make: Callable[[I], O], items: Iterable[I], workers: int, ahead: int | None = None) -> Iterator[O]:
    """Yields `make(item)` for each item in order, computed ahead by `workers` threads (0: by the caller).

    At most `ahead` + 1 results, by default `workers` + 1, are in memory before they are asked for. More are for items
    that take unequal times: while the first of so many is waited for, no other is begun. Threads are enough for
    batches, since copying, decoding and resizing pixels release Python's global lock; for single pictures on many
    cores there is `readers`. An error in `make` is raised when its result is asked for.
    """
    if workers == 0:
        yield from map(make, items)
        return
    waiting: deque[Future[O]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > (ahead or workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
