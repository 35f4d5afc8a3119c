"""Threads, and what a stage took of time and memory."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.job import Job
from stages.params import RunParams

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of malloc.h."""


SAMPLE_SECONDS = 0.02
"""Between two looks at the memory in use: a shorter peak goes unseen."""


@contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """Gives numpy, faiss and torch `count` threads: three pools, each told if it is loaded."""
    from threadpoolctl import threadpool_limits

    torch, faiss = sys.modules.get("torch"), sys.modules.get("faiss")
    before = torch.get_num_threads() if torch else None
    # A library that is loaded later takes its number from the environment.
    environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        with threadpool_limits(limits=count):
            if torch:
                torch.set_num_threads(count)
            if faiss:
                faiss.omp_set_num_threads(count)
            yield
    finally:
        if torch and before:
            torch.set_num_threads(before)
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def kept_memory() -> Iterator[None]:
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


def float_modes(precision: str) -> None:
    """Tells torch, where it is loaded, whether tf32 may stand for float32, and to choose kernels that repeat."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


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


TIMING_COLUMNS = (
    "epoch",
    "stage",
    "pid",
    "seconds",
    "peak_anon_mb",
    "images_per_s",
    "threads",
    "device",
    "versions",
)


def record_timing(job: Job, context: RunParams | None, seconds: float, peak: float | None) -> None:
    folder = job.root / f"data/runs/{job.node.run}" if job.node.run else job.folder
    path = folder / "timings.csv"
    names = ("torch", "faiss", "zarr", "numpy")
    versions = " ".join(f"{name} {_version(name)}" for name in names if name in sys.modules)
    where = "final" if Path(job.node.folder).name == "final" else job.node.epoch
    row = {
        "epoch": "" if where is None else where,
        "stage": job.node.stage,
        "pid": os.getpid(),
        "seconds": f"{seconds:.3f}",
        "peak_anon_mb": "" if peak is None else f"{peak:.0f}",
        "images_per_s": f"{job.images / seconds:.1f}" if job.images else "",
        "threads": context.threads if context else os.cpu_count(),
        "device": context.device if context else "cpu",
        "versions": versions,
    }
    new = not path.exists()
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, TIMING_COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        # A table of timings is no reason to lose a published result.
        job.report.say(f"{path} could not be written: {error.strerror}")


def _version(module: str) -> str:
    for distribution in (module, f"{module}-gpu", f"{module}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "?"
