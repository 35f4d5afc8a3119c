"""What the network's stages do on a device: how busy it is, the memory that they take, results beside the CPU's."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from device import busy, peak_memory
from gpu_pictures import WAYS, extracted, labelled, trained
from gpu_setup import Bench
from measure import Row, limited

from stages.artifacts.checkpoints import load
from stages.artifacts.chunks import ChunkReader
from stages.artifacts.tables import read_parquet
from stages.dag.names import CHECKPOINT, STEPS


def working(bench: Bench) -> list[Row]:
    """The share of time in which a kernel runs, of stages that torch's profiler watches."""
    size, device = bench.size, torch.device(bench.device)
    labelled(bench, bench.run("float32"), size.packed)
    count = size.few + 2 * size.resident * size.batch
    rows = []
    for name, stage in (("extract", extracted), ("train", trained)):
        for precision in bench.precisions:
            for how, share in WAYS.items():
                seen = busy(device, partial(stage, bench, precision, share, count))[1]
                what = ", ".join(filter(None, (name, precision, how)))
                value = float("nan") if seen is None else 100 * seen
                rows.append(limited("busy", what, f"{count:,} images", [value], "%", None))
    return rows


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
