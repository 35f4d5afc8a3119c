"""Arrays and tensors that are written in one piece; equal content gives equal bytes.

Each function that writes publishes its file by rename, and raises OutOfSpace where the disk is full.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from stages.artifacts.remedies import maker
from stages.artifacts.writing import write_bytes
from stages.errors import Refusal


def write_npy(path: Path, array: Any) -> None:
    """One numpy array of any shape and dtype, such as centroids.npy."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getbuffer())


def read_npy(path: Path) -> Any:
    """The array that `write_npy` wrote.

    Raises:
        Refusal: the file is missing or cannot be read.
    """
    import numpy as np

    try:
        # Opened here, because numpy does not close a file that turns out to be damaged.
        with open(path, "rb") as opened:
            return np.load(opened, allow_pickle=False)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except (OSError, ValueError, EOFError) as error:
        raise Refusal(f"{path} cannot be read as an array ({error}); {maker(path)}") from None


def write_npz(path: Path, **arrays: Any) -> None:
    """Several numpy arrays by name, uncompressed, such as pca.npz."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getbuffer())


def write_torch(path: Path, content: Any) -> None:
    """Tensors in plain containers, by `torch.save`.

    It goes through a buffer because `torch.save` writes the name of a path that it is given into the file.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())
