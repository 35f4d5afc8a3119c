"""Memory that a stage keeps between batches, and the most that it took."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of malloc.h."""


SAMPLE_SECONDS = 0.02
"""Between two looks at the memory in use: a shorter peak goes unseen."""


@contextmanager
def keep_memory() -> Iterator[None]:
    """Keeps freed memory for the next batch, where glibc would give it back and fault it in again.

    Arrays of a batch are tens of megabytes, each a mapping of its own by default: a sixth of the
    time of a training step went into clearing pages. What is free goes back at the end.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    known = all(hasattr(libc, name) for name in ("mallopt", "malloc_trim"))
    # Older versions of glibc refuse a threshold above 32 MB.
    if known and (libc.mallopt(M_MMAP_THRESHOLD, 2**30) or libc.mallopt(M_MMAP_THRESHOLD, 2**25)):
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        if known:
            libc.malloc_trim(ctypes.c_size_t(0))
        torch = sys.modules.get("torch")
        if torch and torch.cuda.is_initialized():
            # faiss allocates beside torch and could not use what its cache holds.
            torch.cuda.empty_cache()


@contextmanager
def peak_memory() -> Iterator[list[float | None]]:
    """Peak anonymous memory in MB, sampled from /proc; None where there is no /proc."""
    peak: list[float | None] = [None]
    stop = threading.Event()

    def sample() -> None:
        while True:
            try:
                with open("/proc/self/status", encoding="ascii") as file:
                    line = next(line for line in file if line.startswith("RssAnon"))
            except (OSError, StopIteration):
                return
            peak[0] = max(peak[0] or 0.0, int(line.split()[1]) / 1024)
            if stop.wait(SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
