"""The packed pictures of a data set, as the stages and the pandas access read them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.chunks import ChunkReader
from stages.artifacts.documents import load_json
from stages.artifacts.tables import read_parquet
from stages.dag.names import MANIFEST, PACK, PIXELS
from stages.method.decode import centre_crop


class PackedImages:
    """The packed pictures of a data set, row i being image i; read by memory map.

    Attributes:
        height, width: (N,) int32, pixels of each picture.
        label: (N,) int64, the class of each, -1 where unknown.
        classes: names of the classes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = load_json(folder / PACK)
        self.classes: list[str] = self.info["classes"]
        columns = ["label", "chunk", "offset", "height", "width"]
        manifest = read_parquet(folder / MANIFEST, columns)
        self.label = manifest["label"].to_numpy(np.int64)
        self.height = manifest["height"].to_numpy(np.int32)
        self.width = manifest["width"].to_numpy(np.int32)
        self._chunk = manifest["chunk"].to_numpy(np.int64)
        self._offset = manifest["offset"].to_numpy(np.int64)

    @cached_property
    def _pixels(self) -> ChunkReader:
        # Opened when a picture is wanted: `dvc pull` brings the manifest and not the pixels.
        again = f"make it again with `python -m pipeline rerun pack --dataset {self.folder.name}`"
        return ChunkReader(self.folder / PIXELS, again)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of pixels.zarr."""
        return len(self._pixels)

    @property
    def pixel_chunks(self) -> int:
        """Number of chunks of pixels.zarr."""
        return self._pixels.count

    def pixel_block(self, index: int) -> NDArray[np.uint8]:
        """Chunk `index` of pixels.zarr, (bytes,), read into memory of its own."""
        return self._pixels.block(index)

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """(N,) the byte of pixels.zarr at which each picture begins."""
        found: NDArray[np.int64] = self._chunk * self._pixels.chunk[0] + self._offset
        return found

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, image: int) -> NDArray[np.uint8]:
        """Picture `image` as a read-only (height, width, 3) uint8 view of the mapped file."""
        start, height, width = self._offset[image], self.height[image], self.width[image]
        pixels = self._pixels.map(int(self._chunk[image]))[start : start + height * width * 3]
        return pixels.reshape(height, width, 3)

    def centre_crop(self, image: int, size: int) -> NDArray[np.uint8]:
        """The (size, size, 3) square in the middle of picture `image`."""
        return centre_crop(self[image], size)

    def paths(self) -> list[bytes]:
        """Where each picture came from, as the bytes of its name."""
        return read_parquet(self.folder / MANIFEST, ["path"])["path"].to_list()
