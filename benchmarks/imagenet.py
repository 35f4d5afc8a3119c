"""An epoch on ImageNet, by the rates of its stages and by those of the disk."""

from __future__ import annotations

from dataclasses import dataclass

IMAGES = 1_281_167

FEATURES = 4096 * 4
"""Bytes of a picture's features, written by `extract` (float32)."""

WHITENED = 256 * 4
"""Bytes of a picture's whitened features."""

CENTRE = 215_000
"""Bytes that the disk reads for a picture's central crop, on average: rows of 256 or 341 pixels, whole, since a page of
4 KiB is longer."""

CROP = 180_000
"""Bytes that it reads for a random crop, on average: likewise."""

CHECKPOINT = 500_000_000
"""Bytes that `train` writes: AlexNet and its momentum."""


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes:
        extract, train: images a second, the pictures in the page cache.
        whiten, cluster: seconds of the stage for `rows` rows, their files in the page cache.
        write, read: bytes a second of the disk.
    """

    extract: float
    train: float
    whiten: float
    cluster: float
    rows: int
    write: float
    read: float


@dataclass(frozen=True)
class StageSeconds:
    """Seconds of a stage of an epoch on ImageNet.

    Attributes:
        rate: by its rate, with what it reads in the page cache.
        writing: that the disk needs for what it writes.
        reading: that the disk needs for the pictures that it reads.
    """

    stage: str
    rate: float
    writing: float = 0.0
    reading: float = 0.0

    def seconds(self, *, cold: bool) -> float:
        """All together; if `cold`, pictures come from the disk.

        A stage writes through to the disk while it is measured: writing counts where the disk alone would take longer.
        Reading is added whole, as if nothing were computed meanwhile.
        """
        return max(self.rate, self.writing) + (self.reading if cold else 0.0)


def imagenet_epoch(rates: Rates) -> list[StageSeconds]:
    """The stages of an epoch that take more than a second or two.

    The features are written just before they are read: 21 GB of them stay in the page cache.
    """
    scale = IMAGES / rates.rows
    return [
        StageSeconds("extract", IMAGES / rates.extract, IMAGES * FEATURES / rates.write, IMAGES * CENTRE / rates.read),
        StageSeconds("whiten", rates.whiten * scale, IMAGES * WHITENED / rates.write),
        StageSeconds("cluster", rates.cluster * scale),
        StageSeconds("train", IMAGES / rates.train, CHECKPOINT / rates.write, IMAGES * CROP / rates.read),
    ]


def total(stages: list[StageSeconds], *, cold: bool) -> float:
    """Seconds of an epoch."""
    return sum(stage.seconds(cold=cold) for stage in stages)
