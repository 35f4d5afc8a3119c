"""Batches assembled ahead of the network by threads; their order and content are fixed beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


def prefetch(make: Callable[[I], O], items: Iterable[I], workers: int) -> Iterator[O]:
    """`make(item)` for each item, in order, computed by `workers` threads (0: by the caller).

    Threads suffice: copying, decoding and resizing pixels all release the interpreter's lock. At
    most `workers` + 1 results wait at a time.
    """
    if workers == 0:
        yield from map(make, items)
        return
    waiting: deque[Future[O]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
