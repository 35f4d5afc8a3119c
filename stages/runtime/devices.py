"""The device that a run asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.errors import Refusal

SMALLER = {"extract": "extract.batch", "whiten": "extract.chunk_rows", "train": "train.batch"}
"""The key that a stage's memory on a device grows with."""


def device_of(name: str) -> torch.device:
    """The torch device of that name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        Refusal: this machine does not have it.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal(f"device: {name}: this machine has no CUDA device that torch can use; --set device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise Refusal(f"device: {name}: this machine has cuda:0 to cuda:{last}; --set device=cuda:{last}")
    if device.type == "cuda":
        try:
            torch.zeros(1, device=device) + 1
        except RuntimeError as error:
            raise Refusal(f"device: {name}: this torch cannot use it ({_first(error)}); --set device=cpu") from None
    return device


@contextmanager
def device_failures(stage: str) -> Iterator[None]:
    """Tells in one line what a device has no memory for, or that it failed.

    Raises:
        Refusal: that line, in place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        key = SMALLER.get(stage, "its batch")
        raise Refusal(
            f"the device is out of memory: --set device_memory=0, or lower {key}, or --set device=cpu"
        ) from None
    except torch.AcceleratorError as error:
        raise Refusal(
            f"the device failed ({_first(error)}); nothing was published, and the same command goes on once it is well"
        ) from None


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
