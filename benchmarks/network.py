"""pack, extract, train and a whole epoch, on generated photographs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import plain
import yardstick
from measure import Row, Side, compared, interleaved, limited, tell, timed
from photographs import photographs, resized
from plain import Apart
from scratch import Project
from sides import PLAIN, bare, judged, ours
from sizes import Size, paper

from pipeline.machine import multiplies_bf16
from stages.artifacts.pictures import PackedImages
from stages.artifacts.tables import read_parquet
from stages.parameters.run import RunParams

EXTRACT_BAR = {"float32": 1.8, "bf16": 3.5}
TRAIN_BAR = {"float32": 1.4, "bf16": 2.4}
"""Least times the yardstick, by the pipeline's precision."""

BARE_BAR = 0.9
"""Least share of the bare network's speed."""

EPOCH_BAR = 2.7
"""Least times the yardstick's epoch, in the fastest precision that the processor has units for."""

KEPT = "freed memory kept"
PLAIN_BF16 = "yardstick, bf16 + channels_last"
PLAIN_LAST = "yardstick, channels_last"
PLAIN_SMALL = "yardstick, JPEGs already at 256"


class Pictures:
    """The pictures and the runs on them; each is made when it is first asked for."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = folder, size
        self.bf16 = multiplies_bf16() if size.bf16 is None else size.bf16
        self.precisions = ("float32", "bf16") if self.bf16 else ("float32",)
        self._runs: dict[str, RunParams] = {}

    @cached_property
    def jpegs(self) -> Path:
        tell(f"drawing {self.size.images} photographs")
        return photographs(self.folder / "jpegs", self.size.images, workers=self.size.threads)

    @cached_property
    def small(self) -> Path:
        return resized(self.jpegs, self.folder / "jpegs-256", workers=self.size.threads)

    @cached_property
    def project(self) -> Project:
        project = Project(self.folder / "project")
        project.dataset("bench", self.jpegs)
        return project

    def run(self, kind: str, precision: str) -> RunParams:
        """A run for `kind` of measurement: its epochs draw `train_images` images, or all for "epoch"."""
        name = f"{kind}-{precision}"
        if name not in self._runs:
            size = self.size
            passes = 1 if kind == "epoch" else min(size.train_images, size.images) / size.images
            params = self.project.start(name, paper(size, "bench", precision, passes=passes))
            if kind != "epoch":
                self.project.assign(params, size.images, size.k)
                self.project.stage(params, "pseudolabel")
            self._runs[name] = params
        return self._runs[name]

    def labels(self) -> np.ndarray:
        """The pseudo-labels that both sides train on."""
        node = self.project.node(self.run("stage", "float32"), "pseudolabel")
        return read_parquet(self.project.root / node.outs["pseudolabels"].path)["label"].to_numpy(np.int64)

    @cached_property
    def crops(self) -> Path:
        """Central crops as one uint8 array in a .npy, for the bare network."""
        self.run("stage", "float32")
        images = PackedImages(self.project.root / "data/images/bench")
        count = min(len(images), 8 * self.size.batch) // self.size.batch * self.size.batch
        path = self.folder / "crops.npy"
        np.save(path, np.stack([images.centre_crop(i, 224) for i in range(count)]))
        return path

    def options(self) -> yardstick.Options:
        size = self.size
        return yardstick.Options(batch=size.batch, workers=size.threads, k=size.k, dim=size.dim)

    def loops(self, beside: int) -> dict[str, tuple[yardstick.Options, Path]]:
        """The plain loop as it is, and where `beside` is not 0 with what might explain a gain.

        Where the processor has no units for bf16, which is then several times slower, channels_last alone.
        """
        loop = self.options()
        if not beside:
            return {PLAIN: (loop, self.jpegs)}
        fast = replace(loop, channels_last=True, precision="bf16" if self.bf16 else "float32")
        return {
            PLAIN: (loop, self.jpegs),
            PLAIN_BF16 if self.bf16 else PLAIN_LAST: (fast, self.jpegs),
            PLAIN_SMALL: (loop, self.small),
        }

    def rounds(self, name: str) -> int | None:
        """The loops that are only shown beside take part in fewer rounds."""
        return None if name == PLAIN else self.size.side_pairs


def pack(pictures: Pictures) -> list[Row]:
    """pack against writing the same pictures, resized, as JPEGs."""
    size, project = pictures.size, pictures.project
    project.dataset("packing", pictures.jpegs)
    target = pictures.folder / "packing"
    sides = [
        Side("pipeline", lambda: project.packing("packing")),
        Side("resized JPEGs, PIL", timed(lambda: resized(pictures.jpegs, target, workers=size.threads))),
    ]
    return compared("pack", f"{size.images} JPEGs", interleaved(sides, min(size.pairs, 3)), "pipeline")


def extract(pictures: Pictures) -> list[Row]:
    size, project = pictures.size, pictures.project
    n = f"{size.images} images"
    apart = Apart()
    sides = []
    for precision in pictures.precisions:
        params = pictures.run("stage", precision)
        sides.append(Side(ours(precision), lambda params=params: project.stage(params, "extract"), least=size.least))
        sides += ceilings(pictures, precision, plain.forward, size.images, size.threads)
    for name, (options, folder) in pictures.loops(size.side_pairs).items():
        loop = partial(apart, plain.features, options, folder, size.threads)
        sides.append(Side(name, loop, pictures.rounds(name), size.least if name == PLAIN else 0))
    return judged("extract", n, interleaved(sides, size.pairs), pictures.precisions, EXTRACT_BAR, BARE_BAR)


def train(pictures: Pictures) -> list[Row]:
    size, project = pictures.size, pictures.project
    count = min(size.train_images, size.images)
    labels = pictures.labels()
    apart = Apart()
    sides = []
    for precision in pictures.precisions:
        params = pictures.run("stage", precision)
        sides.append(Side(ours(precision), lambda params=params: project.stage(params, "train"), least=size.least))
        sides += ceilings(pictures, precision, plain.step, count, size.k, size.threads)
    out = pictures.folder / "yardstick.pt"
    for name, (options, folder) in pictures.loops(size.side_pairs).items():
        loop = partial(apart, plain.train, options, folder, labels, out, count, size.threads)
        sides.append(Side(name, loop, pictures.rounds(name), size.least if name == PLAIN else 0))
    n = f"{count} images, batch {size.batch}"
    return judged("train", n, interleaved(sides, size.pairs), pictures.precisions, TRAIN_BAR, BARE_BAR)


def ceilings(
    pictures: Pictures, precision: str, bare_network: Callable[..., float], count: int, *rest: int
) -> list[Side]:
    """The bare network, and the same one in a process that keeps freed memory, as a stage's does."""
    size = pictures.size
    common = (precision, pictures.crops, size.batch)
    sides = []
    for kept, name, rounds, least in (
        (False, bare(precision), None, size.least),
        (True, f"{bare(precision)}, {KEPT}", size.side_pairs, 0.0),
    ):
        apart = Apart(kept)
        apart(bare_network, *common, size.batch, *rest)
        sides.append(Side(name, partial(apart, bare_network, *common, count, *rest), rounds, least))
    return sides


def epoch(pictures: Pictures) -> list[Row]:
    """Six stages with DVC's work against the plain loop's epoch on the original JPEGs."""
    size, project = pictures.size, pictures.project
    apart = Apart()
    sides = []
    for precision in pictures.precisions:
        params = pictures.run("epoch", precision)
        sides.append(Side(ours(precision), lambda params=params: project.epoch(params)))
    out = pictures.folder / "yardstick.pt"
    for name, (options, folder) in pictures.loops(size.epoch_sides).items():
        loop = partial(apart, plain.epoch, options, folder, out, size.threads)
        sides.append(Side(name, loop, None if name == PLAIN else size.epoch_sides))
    seconds = interleaved(sides, size.epoch_pairs)
    packing = float(project.timings("data/images/bench")[-1]["seconds"])
    fastest = pictures.precisions[-1]
    rows: list[Row] = []
    for precision in pictures.precisions:
        chosen = {name: spent for name, spent in seconds.items() if not name.startswith("pipeline")}
        chosen = {ours(precision): seconds[ours(precision)], **chosen}
        last = project.timings(f"data/runs/epoch-{precision}")[-6:]
        stages = {row["stage"]: float(row["seconds"]) for row in last}
        rest = seconds[ours(precision)][-1] - sum(stages.values())
        shares = ", ".join(f"{name} {spent:.2f}" for name, spent in stages.items())
        note = f"the last round: {shares}, engine and DVC {rest:.2f}"
        bars = {PLAIN: EPOCH_BAR} if precision == fastest else {}
        rows += compared("epoch", f"{size.images} images", chosen, ours(precision), bars, {ours(precision): note})
        for against in filter(seconds.get, (PLAIN, PLAIN_SMALL)):
            saved = float(np.median(seconds[against])) - float(np.median(seconds[ours(precision)]))
            rows.append(
                limited(
                    "epoch",
                    f"packing once ({ours(precision)})",
                    f"{size.images} images",
                    [packing],
                    "s",
                    None,
                    f"{paid(packing, saved)} against: {against}",
                )
            )
    return rows


def paid(packing: float, saved: float) -> str:
    return f"paid for itself from epoch {max(1, math.ceil(packing / saved))}" if saved > 0 else "never pays for itself"
