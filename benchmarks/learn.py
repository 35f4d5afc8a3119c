"""Proof that the demo learns: `make learn` runs it, prints a table and writes it into docs/results.md.

Each row is a run of the pipeline in a temporary copy of the project, with the committed parameters
but what the row names. The gain is the NMI to labels of the finished network's clusters minus that
of epoch 1's, which are the clusters of the random network. Exit status 1 where a bar is missed.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from report import write

from pipeline import open_run
from pipeline.preparing import Request
from pipeline.run import run
from pipeline.settings import Settings
from stages.artifacts.pictures import PackedImages
from stages.method.kmeans import kmeans
from stages.method.measures import nmi
from stages.runtime.report import Reporter

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.md"
START, END = "<!-- learn: begin -->", "<!-- learn: end -->"

SEEDS = (0, 1, 2)
LEAST_GAIN = 0.10
MOST_PERMUTED_GAIN = 0.03


@dataclass(frozen=True)
class Row:
    name: str
    first: float | None
    final: float
    seconds: float | None = None

    @property
    def gain(self) -> float | None:
        return None if self.first is None else self.final - self.first


def project(folder: Path) -> Path:
    """A copy of the project's files as they are, with an empty data/."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if not name.startswith("data/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def trained(root: Path, name: str, label: str, overrides: dict[str, Any]) -> Row:
    """One run on the demo's pictures."""
    settings = Settings(root)
    settings.put(f"runs.{name}", overrides)
    settings.save()
    started = time.monotonic()
    with Reporter() as report:
        run(root, Request(name), report)
    history = open_run(name, root).history()
    seconds = time.monotonic() - started
    return Row(label, float(history["nmi_labels"].iloc[0]), float(history["nmi_labels"].iloc[-1]), seconds)


def pixel_baselines(root: Path, k: int) -> list[Row]:
    """k-means without any network: on each picture's mean colour, and on its pixels at 32 x 32."""
    images = PackedImages(root / "data/images/demo")
    small = [
        Image.fromarray(np.array(images[i])).resize((32, 32), Image.Resampling.BILINEAR) for i in range(len(images))
    ]
    pixels = np.stack([np.asarray(picture, np.float32).ravel() for picture in small])
    colour = np.stack([np.array(images[i]).mean((0, 1), dtype=np.float64) for i in range(len(images))]).astype(
        np.float32
    )
    rows = []
    for name, features in (("k-means on mean colour", colour), ("k-means on raw pixels, 32 × 32", pixels)):
        found = kmeans(features, k, iterations=20, seed=0, rng=np.random.default_rng(0))
        score = nmi(images.label, found.assignment)
        assert score is not None
        rows.append(Row(name, None, score))
    return rows


def table(rows: list[Row]) -> str:
    frame = pd.DataFrame(
        {
            "run": [row.name for row in rows],
            "NMI of epoch 1": [_number(row.first) for row in rows],
            "NMI at the end": [_number(row.final) for row in rows],
            "gain": [_number(row.gain) for row in rows],
            "seconds": ["" if row.seconds is None else f"{row.seconds:.0f}" for row in rows],
        }
    )
    lines = [f"| {' | '.join(frame.columns)} |", "|" + " --- |" * len(frame.columns)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in frame.to_numpy().tolist())])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def missed(rows: list[Row]) -> list[str]:
    bars = []
    for row in rows:
        if row.name.startswith("DeepCluster") and (row.gain or 0) < LEAST_GAIN:
            bars.append(f"{row.name} gains {row.gain:.3f}, under {LEAST_GAIN}")
        if row.name.startswith("permuted") and (row.gain or 0) >= MOST_PERMUTED_GAIN:
            bars.append(f"{row.name} gains {row.gain:.3f}, not under {MOST_PERMUTED_GAIN}")
    return bars


def main() -> int:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        for seed in SEEDS:
            rows.append(trained(root, f"seed-{seed}", f"DeepCluster, seed {seed}", {"seed": seed}))
        for seed in SEEDS:
            overrides = {"seed": seed, "pseudolabel": {"permuted": True}}
            rows.append(trained(root, f"permuted-{seed}", f"permuted pseudo-labels, seed {seed}", overrides))
        # The ceiling: the true classes as pseudo-labels, its final clusters still found by k-means.
        rows.append(ceiling(root))
        k = Settings(root).resolve("seed-0").cluster.k
        assert k is not None
        rows += pixel_baselines(root, k)
    text = table(rows)
    print(text)
    machine = f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}"
    write(RESULTS, f"By `make learn`, on {machine}.\n\n{text}", START, END)
    for line in missed(rows):
        print(line, file=sys.stderr)
    return 1 if missed(rows) else 0


def ceiling(root: Path) -> Row:
    """Training on the classes themselves (`cluster.method: labels`), measured like the others."""
    trained(root, "labels", "labels", {"cluster": {"method": "labels"}})
    finished = open_run("labels", root)
    k = Settings(root).resolve("seed-0").cluster.k
    assert k is not None
    labels = finished.images()["label"].to_numpy()
    scores = []
    for epoch in (1, "final"):
        features = finished.whitened(epoch).read()
        found = kmeans(features, k, iterations=20, seed=0, rng=np.random.default_rng(0))
        score = nmi(labels, found.assignment)
        assert score is not None
        scores.append(score)
    seconds = float(finished.timings()["seconds"].sum())
    return Row("classes as pseudo-labels (ceiling)", scores[0], scores[1], seconds)


if __name__ == "__main__":
    sys.exit(main())
