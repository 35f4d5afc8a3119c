"""zarr arrays whose chunks are files of raw bytes: written in order, checked before they are read.

zarr answers a missing chunk with zeros and without a word, and costs a hundred times a memory map
for one picture. So the chunk files are written here, whole, with zarr.json last; anyone opens the
result with zarr, and our readers map the files after checking that each is there in full.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.writing import make_folder, write_bytes
from stages.errors import Refusal

SEPARATOR = "."
"""Flat chunk files: DVC hashes a folder of them ten times faster than a tree."""

MOST_MAPS = 10_000
"""Chunks of an array that are mapped at a time: Linux gives a process 65,530 maps for all that it does."""


def chunk_name(index: int, ndim: int) -> str:
    return SEPARATOR.join(["c", str(index), *["0"] * (ndim - 1)])


class ChunkWriter:
    """Writes an array split along its first dimension, chunk after chunk.

    Args:
        path: folder of the array, made where it is missing.
        chunk: shape of a chunk; all dimensions but the first are those of the array.
        dtype: element type, such as "float32".
    """

    def __init__(self, path: Path, chunk: tuple[int, ...], dtype: str) -> None:
        self.path, self.chunk, self.dtype = path, chunk, np.dtype(dtype)
        make_folder(path)

    def write(self, index: int, rows: NDArray[Any]) -> None:
        """Writes chunk `index`; a short last one is padded with zeros."""
        if len(rows) < self.chunk[0]:
            padded = np.zeros(self.chunk, self.dtype)
            padded[: len(rows)] = rows
            rows = padded
        content = np.ascontiguousarray(rows, self.dtype)
        write_bytes(self.path / chunk_name(index, len(self.chunk)), content.data.cast("B"))

    def has(self, index: int) -> bool:
        """Whether chunk `index` lies there in full, left by an attempt that was stopped."""
        file = self.path / chunk_name(index, len(self.chunk))
        size = math.prod(self.chunk) * self.dtype.itemsize
        return file.exists() and file.stat().st_size == size

    def write_all(self, rows: Iterable[NDArray[Any]], length: int) -> None:
        """Writes blocks that are each one chunk long, then closes."""
        for index, block in enumerate(rows):
            self.write(index, block)
        self.close(length)

    def close(self, length: int) -> None:
        """Writes zarr.json for an array of `length` rows: from now on it is one."""
        import zarr

        metadata: dict[str, bytes] = {}
        array = zarr.create_array(
            store=zarr.storage.MemoryStore(),
            shape=(length, *self.chunk[1:]),
            chunks=self.chunk,
            dtype=self.dtype,
            compressors=None,
            filters=None,
            fill_value=0,
            chunk_key_encoding={"name": "default", "separator": SEPARATOR},
        )
        buffers = array.metadata.to_buffer_dict(zarr.core.buffer.default_buffer_prototype())
        metadata = {name: buffer.to_bytes() for name, buffer in buffers.items()}
        write_bytes(self.path / "zarr.json", metadata["zarr.json"])


class ChunkReader:
    """An array in chunk files, read by memory map.

    Args:
        path: folder of the array.
        remedy: what to say a user should do where a chunk is missing.

    Raises:
        Refusal: no such array, or a chunk that is missing or cut short.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        import json

        try:
            meta = json.loads((path / "zarr.json").read_text())
        except (OSError, ValueError):
            raise Refusal(f"{path} is missing or incomplete; {remedy}") from None
        self.path = path
        self.shape: tuple[int, ...] = tuple(meta["shape"])
        self.chunk: tuple[int, ...] = tuple(meta["chunk_grid"]["configuration"]["chunk_shape"])
        self.dtype = np.dtype(meta["data_type"])
        self._maps: dict[int, NDArray[Any]] = {}
        size = math.prod(self.chunk) * self.dtype.itemsize
        for index in range(self.count):
            file = path / chunk_name(index, len(self.chunk))
            found = file.stat().st_size if file.exists() else None
            if found != size:
                state = "is missing" if found is None else f"has {found} bytes instead of {size}"
                raise Refusal(f"chunk {file} {state}; {remedy}")

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{self.path.name} {self.shape} {self.dtype}, {self.count} chunk{'s' * (self.count != 1)}"

    @property
    def count(self) -> int:
        return -(-self.shape[0] // self.chunk[0])

    def map(self, index: int) -> NDArray[Any]:
        """Chunk `index` as a read-only memory map, padding included."""
        found = self._maps.get(index)
        if found is None:
            file = self.path / chunk_name(index, len(self.chunk))
            found = _mapped(file).view(self.dtype).reshape(self.chunk)
            if len(self._maps) >= MOST_MAPS:
                self._maps.clear()
            self._maps[index] = found
        return found

    def block(self, index: int) -> NDArray[Any]:
        """The rows of chunk `index`, (rows, ...) in the stored dtype, read into memory of their own."""
        rows = min(self.chunk[0], self.shape[0] - index * self.chunk[0])
        file = self.path / chunk_name(index, len(self.chunk))
        return np.fromfile(file, self.dtype, rows * math.prod(self.chunk[1:])).reshape(rows, *self.chunk[1:])

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The rows in order, a chunk at a time, so that no more than one need be in memory."""
        return map(self.block, range(self.count))

    def read(self) -> NDArray[Any]:
        """The whole array in memory."""
        out = np.empty(self.shape, self.dtype)
        start = 0
        for block in self.blocks():
            out[start : start + len(block)] = block
            start += len(block)
        return out


_MMAP = ctypes.CDLL(None, use_errno=True).mmap
_MMAP.restype = ctypes.c_void_p
_MMAP.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_MUNMAP = ctypes.CDLL(None).munmap
_MUNMAP.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def _mapped(file: Path) -> NDArray[np.uint8]:
    """The bytes of a file as a read-only memory map.

    Python's own keeps a descriptor for as long as it is there (before 3.13 always): ImageNet has 2,500 chunks, and
    the usual limit is 1,024.
    """
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        address = _MMAP(None, size, mmap.PROT_READ, mmap.MAP_SHARED, opened.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(file))
    content = (ctypes.c_uint8 * size).from_address(address)
    # Every view of the array keeps `content`, and with it the map.
    weakref.finalize(content, _MUNMAP, address, size)
    array = np.ctypeslib.as_array(content)
    array.flags.writeable = False
    return array
