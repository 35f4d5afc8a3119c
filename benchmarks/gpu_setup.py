"""How much benchmarks/gpu.py measures, and the pictures and runs that its parts share."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from in_process import Stages
from measure import tell
from photographs import photographs, resized
from plain import Apart
from sizes import paper

from stages.artifacts.pictures import PackedImages
from stages.parameters.run import RunParams
from stages.runtime.threads import usable_cores

PACKED = "pictures"
"""The data set that is packed; others list its pictures again."""

RUN = "measured"

PLAIN_TIMES = 4
"""Batches of each worker of the plain loop, the first of which does not count."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        drawn: JPEGs that are drawn, and linked in turn: `packed` times for the pipeline, `loaded` times for the plain
            loop, whose processes need more to show their rate.
        short: pixels of their short side, and of the packed ones.
        input, width: of AlexNet.
        resident: batches of the bare network that lie on the device.
        rounds: of extract and train; a stage is timed for about `seconds` there, the bare network for half of them.
        k: pseudo-labels to train on.
        rows, features, dim: to whiten, (rows, features) to (rows, dim); `clusters` of (rows, dim) to find.
        compared: pictures whose features and one step are compared with the CPU's.
        sampled: rows whose assignment is computed again by scipy.
        transfer, disk: bytes of a transfer to the device, and of the file that is written and read.
        demo: what differs from the demo as it is; `demo_images` pictures are drawn for it.
    """

    drawn: int = 1000
    packed: int = 8192
    loaded: int = 16_384
    short: int = 256
    input: int = 224
    width: float = 1.0
    batch: int = 256
    resident: int = 24
    rounds: int = 2
    seconds: float = 1.5
    k: int = 10_000
    rows: int = 1_280_000
    features: int = 4096
    dim: int = 256
    clusters: int = 10_000
    iterations: int = 20
    compared: int = 64
    sampled: int = 1000
    transfer: int = 2**30
    disk: int = 2**32
    demo: dict[str, Any] = field(default_factory=dict)
    demo_images: int = 2000
    threads: int = usable_cores()

    @property
    def few(self) -> int:
        """A batch for each worker: what is measured goes from these to more, so that no start counts."""
        return min(self.threads * self.batch, self.loaded // PLAIN_TIMES)


SMALL = Size(
    drawn=12,
    packed=48,
    loaded=64,
    short=72,
    input=64,
    width=0.0625,
    batch=8,
    resident=4,
    rounds=1,
    seconds=0.0,
    k=10,
    rows=4096,
    features=256,
    dim=32,
    clusters=50,
    iterations=5,
    compared=16,
    sampled=50,
    transfer=2**24,
    disk=2**24,
    demo={
        "epochs": 1,
        "model": {"width": 0.0625},
        "whiten": {"dim": 32},
        "cluster": {"k": 10},
        "train": {"passes": 1},
    },
    demo_images=100,
    threads=min(2, usable_cores()),
)
"""A minute or two on two cores of a CPU."""


class Bench:
    """What the parts measure on; each thing is made when it is first asked for.

    Args:
        folder: for all files.
        device: cpu, cuda or cuda:N.
    """

    def __init__(self, folder: Path, size: Size, device: str) -> None:
        self.folder, self.size, self.device = folder, size, device
        self._open = ExitStack()
        # tf32 is CUDA's alone.
        self.precisions = ("float32", "bf16") if device == "cpu" else ("float32", "tf32", "bf16")

    def close(self) -> None:
        self._open.close()

    @cached_property
    def drawn(self) -> list[Path]:
        """JPEGs of `short` pixels in folders of classes."""
        size = self.size
        tell(f"drawing {size.drawn:,} photographs")
        large = photographs(self.folder / "drawn", size.drawn, workers=size.threads)
        return sorted(resized(large, self.folder / "small", size.short, workers=size.threads).rglob("*.jpg"))

    @cached_property
    def jpegs(self) -> Path:
        """What the plain loop reads."""
        return self._linked("loaded", self.size.loaded)

    def _linked(self, name: str, count: int) -> Path:
        """A folder of so many links to the JPEGs, in turn."""
        for number in range(count):
            source = self.drawn[number % len(self.drawn)]
            target = self.folder / name / source.parent.name / f"{number:07d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
        return self.folder / name

    @cached_property
    def stages(self) -> Stages:
        return Stages(self.folder / "project")

    @cached_property
    def packing(self) -> float:
        """Seconds of packing the pictures, which lie in the page cache; some are packed before, to have all loaded."""
        seconds = 0.0
        for name, count in (("first", self.size.threads), (PACKED, self.size.packed)):
            self.stages.dataset(name, self._linked(name, count), self.size.short)
            seconds = self.stages.packing(name)
        return seconds

    @cached_property
    def apart(self) -> Apart:
        """The process of the plain loop, which lives as long as this."""
        return self._open.enter_context(closing(Apart()))

    def listed(self, count: int) -> str:
        """The name of a data set of `count` of the packed pictures, in turn where they are fewer."""
        name = f"{PACKED}-{count}"
        assert self.packing > 0
        if not (self.stages.root / "data/images" / name).exists():
            self.stages.relisted(name, PACKED, count)
        return name

    def run(
        self, precision: str, dataset: str = PACKED, name: str = RUN, *, network: bool = True, **changed: Any
    ) -> RunParams:
        """A run of one epoch of AlexNet with Sobel on the device; called again, with other parameters.

        Args:
            network: whether its stages need one.
            changed: sections of params.yaml, put over those of the paper's network; `train` is merged.
        """
        size = self.size
        assert dataset != PACKED or self.packing > 0
        train = changed.pop("train", {})
        overrides = paper(size, dataset, precision, **train)
        overrides |= {"device": self.device}
        overrides["model"] |= {"input": size.input, "width": size.width}
        return self.stages.begin(name, overrides | changed, network=network)

    def crops(self, count: int) -> np.ndarray:
        """(count, input, input, 3) uint8 central crops of the packed pictures, in turn."""
        assert self.packing > 0
        images = PackedImages(self.stages.root / "data/images" / PACKED)
        return np.stack([images.centre_crop(i % len(images), self.size.input) for i in range(count)])


def lasting(count: int, seconds: float, wanted: float, most: int) -> int:
    """The multiple of `count` that takes about `wanted` seconds where `count` takes `seconds`; at most `most` times."""
    return count * min(most, max(1, round(wanted / seconds)))
