"""pack, extract and train on a device, beside the bare network and the plain loop; their memory; against the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import plain
import torch
import yardstick
from bare import Inference, Training
from device import busy, peak_memory, seconds_on
from gpu_setup import PLAIN_TIMES, Bench, lasting
from measure import Row, Side, interleaved, limited, tell
from sides import PLAIN, bare, judged, ours
from torch import Tensor

from stages.artifacts.checkpoints import load
from stages.artifacts.chunks import ChunkReader
from stages.artifacts.tables import read_parquet
from stages.dag.names import CHECKPOINT, STEPS
from stages.parameters.run import RunParams
from stages.runtime.threads import float_modes

BARE_BAR = 0.85
"""Least share of the bare network's speed."""

PLAIN_BAR = 4.0
"""Least times the plain loop."""

UNIT = 1000
"""Images whose seconds are compared."""

RESIDENT = 24
"""Batches of the bare network that lie on the device."""

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

    def stage(precision: str, share: float, count: int) -> float:
        return bench.stages.stage(bench.run(precision, bench.listed(count), device_memory=share), "extract")

    def network(precision: str) -> Callable[[list[Tensor], int], None]:
        return Inference(precision, torch.device(bench.device), input=bench.size.input, width=bench.size.width)

    return compared(bench, "extract", stage, network, apart)


def train(bench: Bench) -> list[Row]:
    size = bench.size
    labelled(bench, bench.run("float32"), size.packed)
    labels = np.random.default_rng(0).integers(0, size.k, size.loaded)
    out = bench.folder / "yardstick.pt"

    def apart(count: int) -> float:
        return bench.apart(plain.train, loop(bench), bench.jpegs, labels, out, count, size.threads)

    def stage(precision: str, share: float, count: int) -> float:
        params = bench.run(precision, device_memory=share, train={"passes": count / size.packed})
        return bench.stages.stage(params, "train")

    def network(precision: str) -> Callable[[list[Tensor], int], None]:
        device = torch.device(bench.device)
        return Training(precision, size.k, 0.01, device, input=size.input, width=size.width)

    return compared(bench, "train", stage, network, apart)


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
    crops = torch.from_numpy(bench.crops(RESIDENT * size.batch)).to(device).permute(0, 3, 1, 2)
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
            seconds, working = busy(device, partial(run, trial))
            many = size.few + lasting(len(crops), seconds * len(crops) / trial, size.seconds, 32)
            peaks[name] = []
            sides.append(Side(name, partial(counted, partial(with_peak, device, peaks[name], run), size.few, many)))
            told[name] = f"{many:,} images; device busy {percent(working)}"
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


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} % of the time"


def gigabytes(peaks: list[float]) -> str:
    return f"{max(peaks):.1f} GB" if peaks else "–"


def memory(bench: Bench) -> list[Row]:
    """The most that AlexNet and VGG-16 take on the device, in float32 and without a data set that stays there."""
    size = bench.size
    rows = []
    for architecture in ("alexnet", "vgg16"):
        model = {"architecture": architecture, "sobel": True, "input": size.input, "width": size.width}
        dataset = bench.listed(2 * size.batch)
        params = bench.run("float32", dataset, name=architecture, model=model, device_memory=0.0)
        labelled(bench, params, 2 * size.batch)
        for stage in ("extract", "train"):
            with peak_memory(torch.device(bench.device)) as peak:
                bench.stages.stage(params, stage)
            value = float("nan") if peak[0] is None else peak[0]
            rows.append(limited("memory", f"{stage}, {architecture}", f"batch {size.batch}", [value], "GB", None))
        bench.stages.drop(params)
    return rows


def agreement(bench: Bench) -> list[Row]:
    """Features, and what one step changes, of the same weights and pictures on the device and on the CPU."""
    count = bench.size.compared
    dataset, settings = bench.listed(count), {"batch": count, "dropout": 0.0}
    n = f"{count} pictures"

    def on(device: str, precision: str) -> tuple[np.ndarray, pd.DataFrame, np.ndarray, np.ndarray]:
        """Features, the step's line, and all weights before and after."""
        params = bench.run(precision, dataset, name="agreement", device=device, train=settings)
        root, stages = bench.stages.root, bench.stages
        labelled(bench, params, count)
        for stage in ("extract", "train"):
            stages.stage(params, stage)
        features = ChunkReader(root / stages.node(params, "extract").outs["features"].path, "").read()
        node = stages.node(params, "train")
        trained = root / node.outs["trained"].path
        before, after = (learnt(path) for path in (root / node.deps["network"], trained / CHECKPOINT))
        return features, read_parquet(trained / STEPS), before, after

    features, steps, before, after = on("cpu", "float32")
    rows = []
    for precision in bench.precisions:
        found, theirs, _, changed = on(bench.device, precision)
        worst = float(np.linalg.norm(found - features, axis=1).max() / np.linalg.norm(features, axis=1).max())
        rows.append(limited("agreement", f"features, {precision}: relative difference", n, [worst], "", None))
        step = float(np.linalg.norm(changed - after) / np.linalg.norm(after - before))
        loss = abs(float(theirs["loss"].iloc[0] - steps["loss"].iloc[0]))
        what = f"what one step changes, {precision}: relative difference"
        rows.append(limited("agreement", what, n, [step], "", None, f"its loss differs by {loss:.1e}"))
    return rows


def learnt(checkpoint: Path) -> np.ndarray:
    """All weights of a checkpoint that a step changes, in one array."""
    network = load(checkpoint)["network"]
    return np.concatenate([network[name].numpy().ravel() for name in network if name.endswith(("weight", "bias"))])
