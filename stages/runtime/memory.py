"""How a stage's process keeps memory between batches, and how its peak is measured."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of mallopt, as numbered in glibc's malloc.h."""


SAMPLE_SECONDS = 0.02
"""Seconds between two readings of the memory in use; a shorter peak is missed."""


@contextmanager
def keep_memory() -> Iterator[None]:
    """A context in which the process keeps the memory that it frees, for the next batch; does nothing without glibc.

    By default glibc returns arrays of tens of megabytes to the kernel when they are freed, and each new one starts
    with page faults: a sixth of the time of a training step. What is free at the end is returned then.
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
            # What torch keeps in its cache is taken, to others and to whoever asks how much is free.
            torch.cuda.empty_cache()


@contextmanager
def give_memory_back() -> Iterator[None]:
    """Gives the memory of each large array back at once, for stages with many threads or processes.

    glibc keeps what a thread has freed for that thread: 32 that have each decoded a photograph hold 32 photographs. A
    few megabytes are kept, or each small picture would begin with page faults: a tenth of its time.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**22)
    yield


@contextmanager
def peak_memory() -> Iterator[list[float | None]]:
    """A context that measures the process: yields a list whose one item is its peak anonymous memory so far, in MiB.

    The memory is read every `SAMPLE_SECONDS` by a thread. The item stays None where there is no /proc.
    """
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
