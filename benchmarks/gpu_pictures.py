"""pack, extract and train on a device, beside the bare network and the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import plain
import torch
import yardstick
from bare import Inference, Training
from device import peak_memory, seconds_on
from gpu_setup import PLAIN_TIMES, Bench, lasting
from measure import Row, Side, interleaved, limited, tell
from sides import PLAIN, bare, judged, ours
from torch import Tensor

from stages.parameters.run import RunParams
from stages.runtime.threads import float_modes

BARE_BAR = 0.85
"""Least share of the bare network's speed."""

PLAIN_BAR = 4.0
"""Least times the plain loop."""

UNIT = 1000
"""Images whose seconds are compared."""

Run = Callable[[int], float]
"""Seconds of something for so many images."""

WAYS = {"": 0.0, "pictures on the device": 0.5}
"""The share of the device's memory that pictures may take: none, as with ImageNet, whose pixels are 353 GB."""


def pack(bench: Bench) -> list[Row]:
    """Once, of JPEGs in the page cache."""
    size = bench.size
    n = f"{size.packed:,} JPEGs of {size.short} pixels, {size.threads} cores"
    return [limited("pack", "pipeline", n, [size.packed / bench.packing], "images/s", None)]


def extract(bench: Bench) -> list[Row]:
    apart = partial(bench.apart, plain.features, loop(bench), bench.jpegs, bench.size.threads)

    def network(precision: str) -> Callable[[list[Tensor], int], None]:
        return Inference(precision, torch.device(bench.device), input=bench.size.input, width=bench.size.width)

    return compared(bench, "extract", partial(extracted, bench), network, apart)


def train(bench: Bench) -> list[Row]:
    size = bench.size
    labelled(bench, bench.run("float32"), size.packed)
    labels = np.random.default_rng(0).integers(0, size.k, size.loaded)
    out = bench.folder / "yardstick.pt"

    def apart(count: int) -> float:
        return bench.apart(plain.train, loop(bench), bench.jpegs, labels, out, count, size.threads)

    def network(precision: str) -> Callable[[list[Tensor], int], None]:
        device = torch.device(bench.device)
        return Training(precision, size.k, 0.01, device, input=size.input, width=size.width)

    return compared(bench, "train", partial(trained, bench), network, apart)


def extracted(bench: Bench, precision: str, share: float, count: int) -> float:
    """Seconds of the stage `extract` for `count` pictures.

    Args:
        share: of the device's memory that pictures may take.
    """
    return bench.stages.stage(bench.run(precision, bench.listed(count), device_memory=share), "extract")


def trained(bench: Bench, precision: str, share: float, count: int) -> float:
    """Likewise of `train`, for `count` draws of the packed pictures, which are labelled."""
    passes = count / bench.size.packed
    return bench.stages.stage(bench.run(precision, device_memory=share, train={"passes": passes}), "train")


def loop(bench: Bench) -> yardstick.Options:
    """The plain loop as it is, in float32."""
    size = bench.size
    return yardstick.Options(batch=size.batch, workers=size.threads, k=size.k, dim=size.dim, device=bench.device)


def labelled(bench: Bench, params: RunParams, count: int) -> None:
    """Gives the run's epoch random pseudo-labels of `count` pictures."""
    bench.stages.assign(params, count, bench.size.k)
    bench.stages.stage(params, "pseudolabel")


def compared(
    bench: Bench,
    part: str,
    stage: Callable[[str, float, int], float],
    network: Callable[[str], Callable[[list[Tensor], int], None]],
    apart: Run,
) -> list[Row]:
    """A stage in each precision and way, the bare network in the same one, and the plain loop, in images a second.

    The bare network computes batches that lie on the device. Of the others, what the images beyond the first batch
    of each worker take is counted: an epoch on ImageNet begins as rarely.
    """
    size, device = bench.size, torch.device(bench.device)
    crops = torch.from_numpy(bench.crops(size.resident * size.batch)).to(device).permute(0, 3, 1, 2)
    batches = list(crops.split(size.batch))
    sides: list[Side] = []
    told: dict[str, str] = {}
    peaks: dict[str, list[float]] = {}
    for precision in bench.precisions:
        for how, share in WAYS.items():
            name, run = ours(precision, how), partial(stage, precision, share)
            # The first also makes the device's kernels ready.
            run(size.few)
            trial = size.few + 2 * len(crops)
            many = size.few + lasting(len(crops), run(trial) * len(crops) / trial, size.seconds, 32)
            peaks[name] = []
            sides.append(Side(name, partial(counted, partial(with_peak, device, peaks[name], run), size.few, many)))
            told[name] = f"{many:,} images"
        float_modes(precision)
        made = network(precision)
        once = partial(computed, device, made, batches, precision)
        once(len(crops))
        resident = lasting(len(crops), once(len(crops)), size.seconds / 2, 32)
        sides.append(Side(bare(precision), lambda once=once, count=resident: once(count) * UNIT / count))
        told[bare(precision)] = f"{len(batches)} batches on the device"
    many = PLAIN_TIMES * size.few
    sides.append(Side(PLAIN, partial(counted, apart, size.few, many), rounds=1))
    told[PLAIN] = f"{size.threads} worker processes, float32, {many:,} images"
    tell(f"  seconds for {UNIT:,} images:")
    spent = interleaved(sides, size.rounds)
    for name, found in peaks.items():
        told[name] += f"; at most {gigabytes(found)} on the device"
    bars = dict.fromkeys(bench.precisions, PLAIN_BAR)
    n = f"batch {size.batch}, {size.input} pixels"
    rows = [
        row
        for how in WAYS
        for row in judged(part, n, spent, bench.precisions, bars, BARE_BAR, how, told, by_median=True)
    ]
    return [per_second(row) for row in rows]


def counted(run: Run, few: int, many: int) -> float:
    """Seconds for `UNIT` images, of those that `many` are more than `few`."""
    start, whole = run(few), run(many)
    # On small sizes chance may be more than they take.
    return UNIT * ((whole - start) / (many - few) if whole > start else whole / many)


def computed(
    device: torch.device,
    network: Callable[[list[Tensor], int], None],
    batches: list[Tensor],
    precision: str,
    count: int,
) -> float:
    """Seconds of the bare network for `count` images, with the kernels that a stage of that precision takes."""
    float_modes(precision)
    return seconds_on(device, lambda: network(batches, count))


def with_peak(device: torch.device, peaks: list[float], run: Run, count: int) -> float:
    """Seconds, and one more peak of the device's memory where it has one."""
    with peak_memory(device) as peak:
        seconds = run(count)
    peaks += [value for value in peak if value is not None]
    return seconds


def per_second(row: Row) -> Row:
    """Seconds for `UNIT` images as images a second."""
    return Row(**{**vars(row), "median": UNIT / row.median, "unit": "images/s"})


def gigabytes(peaks: list[float]) -> str:
    return f"{max(peaks):.1f} GB" if peaks else "–"
