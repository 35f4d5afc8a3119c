"""Files that a user asks for by name: the ending says the kind, and they are written beside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.machine import refuse_unwritable
from stages.artifacts.writing import remove, space_told
from stages.errors import Refusal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

CSV, PARQUET, PICTURES = (".csv",), (".parquet", ".pq"), (".png", ".jpg", ".jpeg", ".webp")
TABLES = CSV + PARQUET


def refuse_output(path: Path, endings: Sequence[str] | None = None) -> None:
    """Refuses, before any work, a file that cannot be written, or whose ending says no kind.

    Args:
        endings: those that are known, in small letters; None where any name will do.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Refusal(f"{path} cannot be written: name a file in a folder that exists")
    if endings is not None and path.suffix.lower() not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise Refusal(f"{path}: its ending says what is written, and must be {known}, as in {path.stem}{endings[0]}")
    refuse_unwritable(path.absolute().parent)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Where to write a file or folder; it is renamed to `path` when it is whole, and removed when that fails."""
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)
    try:
        with space_told(path, 0):
            yield partial
            os.replace(partial, path)
    finally:
        remove(partial)


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """A table with a column `path`, as CSV or parquet by its ending.

    Paths are text. One that is not UTF-8 keeps its bytes: as they are in a CSV; a parquet column is of bytes then.
    """
    with beside(path) as partial:
        if path.suffix.lower() in CSV:
            frame.to_csv(partial, index=False, errors="surrogateescape")
        else:
            frame.assign(path=text_or_bytes(frame["path"].to_list())).to_parquet(partial, index=False)


def text_or_bytes(paths: Sequence[str]) -> list[str] | list[bytes]:
    """Paths as text where all of them are UTF-8, otherwise the bytes of each."""
    return list(paths) if all(map(is_text, paths)) else list(map(os.fsencode, paths))


def is_text(path: str | bytes) -> bool:
    """Whether a path is UTF-8."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Pixels (H, W, 3), in the format that the ending names."""
    from PIL import Image

    kind = Image.registered_extensions()[path.suffix.lower()]
    with beside(path) as partial:
        Image.fromarray(pixels).save(partial, kind, quality=92)
