"""Whole arrays and tensors in one file; equal content gives equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from stages.artifacts.writing import write_bytes


def write_npy(path: Path, array: Any) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getbuffer())


def write_npz(path: Path, **arrays: Any) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getbuffer())


def write_torch(path: Path, content: Any) -> None:
    """`torch.save` through a buffer: given a path it would write the path's name into the bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())
