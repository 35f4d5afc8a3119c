"""Threads of numpy, faiss and torch, and how torch computes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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


def float_modes(precision: str) -> None:
    """Tells torch, where it is loaded, whether tf32 may stand for float32, and to choose kernels that repeat."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
