"""The number of threads of numpy, faiss and torch, and torch's modes of float arithmetic."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables from which libraries take their number of threads when they are loaded."""


def usable_cores() -> int:
    """Cores that this process may use: a container, `taskset` or a batch system often gives fewer than there are."""
    from joblib import cpu_count

    return int(cpu_count())


@contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """A context in which numpy, faiss and torch compute with `count` threads each, whether loaded before or within.

    Results depend on this number in their last digits.
    """
    from threadpoolctl import threadpool_limits

    torch, faiss = sys.modules.get("torch"), sys.modules.get("faiss")
    before = torch.get_num_threads() if torch else None
    # For libraries that are loaded within the context.
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


def float_modes(precision: str) -> None:
    """Lets torch use tf32 in place of float32 if `precision` is `tf32`, and only kernels with repeatable results.

    Does nothing where torch is not loaded.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
