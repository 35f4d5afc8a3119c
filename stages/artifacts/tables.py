"""Parquet tables in pandas: equal frames give equal bytes, and what cannot be read is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts.remedies import maker
from stages.errors import Refusal

if TYPE_CHECKING:
    import pandas as pd
import io
import os
from collections.abc import Iterable
from itertools import chain

from stages.artifacts.writing import space_told, write_bytes


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A whole table, or the `columns` of it.

    Raises:
        Refusal: the file is missing or cannot be read.
    """
    import pandas as pd

    with readable(path):
        return pd.read_parquet(path, columns=columns)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """A context for reading `path` with pyarrow.

    Raises:
        Refusal: the file is missing or cannot be read; in place of pyarrow's own error.
    """
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} cannot be read ({reason}); {maker(path)}") from None


def write_parquet(path: Path, frame: Any) -> None:
    """Writes a pandas DataFrame without its index.

    Raises:
        OutOfSpace: the disk is full.
    """
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getbuffer())


def write_frames(path: Path, frames: Iterable[Any]) -> None:
    """Writes pandas DataFrames of the same columns and dtypes as one table, each as a row group when it comes.

    Raises:
        OutOfSpace: the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside = path.with_name(f".{path.name}.new")
    with space_told(path, 0):
        with open(beside, "wb") as file:
            tables = (pa.Table.from_pandas(frame, preserve_index=False) for frame in frames)
            first = next(tables)
            with pq.ParquetWriter(file, first.schema) as writer:
                for table in chain([first], tables):
                    writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
