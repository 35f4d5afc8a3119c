"""What a CUDA device does to a stage, told in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stages.errors import Refusal

LESS = {
    "extract": "--set device_memory=0, or lower extract.batch",
    "train": "--set device_memory=0, or lower train.batch",
    "whiten": "lower extract.chunk_rows",
}
"""What makes a stage need less of a device's memory; an evaluation has a batch of its own."""

FAILED = ("CUDA error", "cuDNN error")
"""How torch's errors of a device begin, whatever their class."""

FULL = ("CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def device_failures(stage: str, evaluation: str | None = None) -> Iterator[None]:
    """Tells in one line that a device ran out of memory, or failed.

    Args:
        evaluation: the entry that the stage measures by, if it is an evaluation.

    Raises:
        Refusal: that line, in place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        # torch takes seconds to load, and where it is not loaded no device has failed.
        torch = sys.modules.get("torch")
        reason = str(error).strip().partition("\n")[0]
        if torch and (isinstance(error, torch.OutOfMemoryError) or reason.startswith(FULL)):
            less = f"lower evaluations.{evaluation}.batch" if evaluation else LESS.get(stage, "free some of it")
            raise Refusal(f"the device is out of memory: {less}, or --set device=cpu") from None
        if reason.startswith(FAILED):
            raise Refusal(
                f"the device failed ({reason}); nothing was published, and the same command goes on once it is well"
            ) from None
        raise
