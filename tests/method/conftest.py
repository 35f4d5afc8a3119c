"""The arrays here are so small that threads of arithmetic only wait for each other."""

from collections.abc import Iterator

# Loaded first, since a limit reaches only the libraries that are there.
import faiss  # noqa: F401
import pytest
import scipy.linalg.blas  # noqa: F401
import torch
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def double() -> Iterator[None]:
    """Everything but a loss in float64, so that a difference is a wrong formula and not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
