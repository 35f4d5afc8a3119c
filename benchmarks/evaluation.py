"""Proof that section 4's protocols measure something: `make proof` runs it and writes the table of docs/evaluation.md.

For each seed the demo's network is trained, in a temporary copy of the project with the committed parameters, and
evaluated beside the same network untrained. Where a bar is missed the exit status is 1. All that was measured is in
docs/evaluation.csv: measure, seed, trained, random, both in percent.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from learn import ROOT, SEEDS, project
from report import machine, write

from pipeline import open_run
from pipeline.evaluate import evaluate
from pipeline.preparing import Request
from pipeline.run import run
from pipeline.settings import Settings
from stages.artifacts.pictures import PackedImages
from stages.artifacts.weights import load_backbone
from stages.method.networks import fold
from stages.protocols.layers import FrozenLayers
from stages.protocols.linear_probe import RELEASED_RATES, labelled_subset, linear_probe
from stages.runtime.report import Reporter

DOCUMENT, TABLE = ROOT / "docs" / "evaluation.md", ROOT / "docs" / "evaluation.csv"
START, END = "<!-- proof: begin -->", "<!-- proof: end -->"

LABELS = 20
STEPS, BATCH = 2400, 50
"""Of every probe that is to be flat, whether its pictures are few or all."""

BARS = {f"one crop few {layer}": 5.0 for layer in ("conv3", "conv4", "conv5")} | {
    "one crop all conv3": 3.0,
    "one crop all conv4": 3.0,
    "knn k 10": 5.0,
    "classification fc6-8": 5.0,
}
"""Least difference of the means over the seeds, in points; by ten crops, the drawn classes are too easy to have one."""

WORDS = {
    "linear few": f"linear, {LABELS} labels a class, ten crops",
    "linear all": "linear, all labels, ten crops",
    "one crop few": f"linear, {LABELS} labels a class, one crop",
    "one crop all": "linear, all labels, one crop",
    "linear short": f"linear, {LABELS} labels a class, ten crops, short (demo-linear)",
}
NUMBERS = {
    "demo-classification-fc6-8": {"map": "classification fc6-8"},
    "demo-classification-all": {"map": "classification all"},
    "demo-detection-fc6-8": {"map": "detection fc6-8"},
    "demo-detection-all": {"map": "detection all"},
    "demo-segmentation-fc6-8": {"mean_iu": "segmentation fc6-8"},
    "demo-segmentation-all": {"mean_iu": "segmentation all"},
    "demo-oxford": {"map": "retrieval demo-oxford"},
    "demo-paris": {"map": "retrieval demo-paris"},
    "demo-knn": {f"top1.{k}": f"knn k {k}" for k in (10, 20, 200)},
    "demo-linear": {f"top1.{layer}": f"linear short {layer}" for layer in RELEASED_RATES},
}


class Measure(NamedTuple):
    """A number of one network, in percent; `late`: its change in the last third of a probe's steps, in points."""

    measure: str
    value: float
    late: float = float("nan")


def enter_probes(root: Path, pictures: int) -> None:
    """Adds the probes `few` and `all` to `evaluations`, each tested three times."""
    settings = Settings(root)
    short = settings.content["evaluations"]["demo-linear"]
    for name, labels in (("few", LABELS), ("all", None)):
        epochs = STEPS * BATCH // (10 * labels if labels else pictures)
        long = {"per_class": labels, "batch": BATCH, "epochs": epochs, "test_every": epochs // 3}
        settings.put(f"evaluations.{name}", {**short, **long})
    settings.save()


def network(root: Path, name: str, overrides: dict[str, Any]) -> None:
    """A run of the demo, trained to its end."""
    settings = Settings(root)
    settings.put(f"runs.{name}", {"evaluations": [], **overrides})
    settings.save()
    with Reporter() as report:
        run(root, Request(name), report)


def measured(root: Path, name: str) -> Iterator[Measure]:
    """All numbers of a run."""
    for evaluation, wanted in NUMBERS.items():
        numbers, seconds = computed(root, name, evaluation)
        yield from (Measure(text, numbers[number]) for number, text in wanted.items())
        yield Measure(f"seconds {evaluation}", seconds)
    for probe, labels in (("few", LABELS), ("all", None)):
        computed(root, name, probe)
        curve = open_run(name, root).evaluation(probe).curve.dropna(subset="top1")
        for layer, tested in curve.groupby("layer"):
            _, before, last = 100 * tested["top1"]
            yield Measure(f"linear {probe} {layer}", last, last - before)
        for layer, (before, last) in one_crop(root, name, labels).items():
            yield Measure(f"one crop {probe} {layer}", last, last - before)


def computed(root: Path, name: str, evaluation: str) -> tuple[dict[str, float], float]:
    """The numbers of an evaluation, and the seconds that it took."""
    with Reporter() as report:
        evaluate(root, name, [evaluation], report)
    finished = open_run(name, root)
    return finished.evaluation(evaluation).numbers, float(finished.timings()["seconds"].iloc[-1])


def one_crop(root: Path, name: str, labels: int | None) -> dict[str, tuple[float, float]]:
    """Top-1 by layer after two thirds of the steps and after all, where each picture is its central crop alone.

    Classifier, step sizes and number of steps are those of the probe. What differs is that no crop is drawn to train
    on, and no ten are averaged to test: both lend a network what it does not have.
    """
    trained = load_backbone(root / "data/runs" / name / "model.safetensors")
    model, rng = trained.model, np.random.default_rng(0)
    looked_at = FrozenLayers(fold(trained.network), model.architecture, list(RELEASED_RATES))
    train, test = (PackedImages(root / "data/images" / folder) for folder in ("demo", "demo-test"))
    chosen = np.arange(len(train)) if labels is None else labelled_subset(train.label, labels, rng)
    heads = linear_probe(
        model.architecture,
        RELEASED_RATES,
        len(train.classes),
        sobel=model.sobel,
        input=model.input,
        width=model.width,
        seed=0,
        device=torch.device("cpu"),
    )

    def maps(images: PackedImages, rows: Any) -> dict[str, torch.Tensor]:
        return looked_at(np.stack([images.centre_crop(int(row), model.input) for row in rows]))

    seen, hidden = maps(train, chosen), maps(test, range(len(test)))
    found = []
    for step in range(1, STEPS + 1):
        rows = rng.choice(len(chosen), BATCH, replace=False)
        heads.train_step({layer: values[rows] for layer, values in seen.items()}, train.label[chosen[rows]])
        if step in (2 * STEPS // 3, STEPS):
            told = {layer: scores.argmax(1).numpy() for layer, scores in heads.probabilities(hidden).items()}
            found.append({layer: 100 * float((classes == test.label).mean()) for layer, classes in told.items()})
    before, last = found
    return {layer: (before[layer], last[layer]) for layer in last}


def compared(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a measure and seed, with both networks beside each other."""
    frame = pd.DataFrame(rows).pivot(index=["measure", "seed"], columns="network", values=["value", "late"])
    names = {("value", "trained"): "trained", ("value", "random"): "random"}
    names |= {("late", "trained"): "trained_late", ("late", "random"): "random_late"}
    frame.columns = pd.Index([names[column] for column in frame.columns])
    order = {row["measure"]: place for place, row in enumerate(rows)}
    return frame[list(names.values())].reset_index().sort_values(["measure", "seed"], key=lambda x: x.replace(order))


def table(frame: pd.DataFrame) -> str:
    """Markdown: a row a measure, each seed, and the means."""
    head = ("measure", *(f"seed {seed}" for seed in SEEDS), "trained", "Random", "difference", "last third", "bar")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for measure, rows in frame.groupby("measure", sort=False):
        if measure.startswith("seconds"):
            continue
        mean = rows.mean(numeric_only=True)
        each = [f"{a:.1f} / {b:.1f}" for a, b in zip(rows["trained"], rows["random"], strict=True)]
        late = "" if np.isnan(mean["trained_late"]) else f"{mean['trained_late']:+.1f} / {mean['random_late']:+.1f}"
        gain, bar = mean["trained"] - mean["random"], BARS.get(measure)
        told = "" if bar is None else f"{bar:.0f}: {'met' if gain >= bar else 'missed'}"
        cells = (title(measure), *each, f"{mean['trained']:.1f}", f"{mean['random']:.1f}", f"{gain:+.1f}", late, told)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def title(measure: str) -> str:
    for words, text in WORDS.items():
        if measure.startswith(words):
            return f"{text}: {measure.removeprefix(words).strip()}"
    return measure


def times(frame: pd.DataFrame) -> str:
    """The median seconds of each of the demo's evaluations, over all networks."""
    rows = frame[frame["measure"].str.startswith("seconds")]
    medians = rows.melt(["measure"], ["trained", "random"]).groupby("measure", sort=False)["value"].median()
    return ", ".join(f"{name.removeprefix('seconds ')} {value:.1f}" for name, value in medians.items())


def missed(frame: pd.DataFrame) -> list[str]:
    means = frame.groupby("measure", sort=False)[["trained", "random"]].mean()
    gains = (means["trained"] - means["random"]).items()
    return [
        f"{title(str(measure))}: trained is {gain:.1f} above Random, and the bar is {bar:.0f}"
        for measure, gain in gains
        if (bar := BARS.get(str(measure))) is not None and gain < bar
    ]


def main() -> int:
    started = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        enter_probes(root, Settings(root).content["datasets"]["demo"]["generate"]["images"])
        for seed in SEEDS:
            for kind, untrained in (("trained", {}), ("random", {"epochs": 0, "dataset": None})):
                network(root, f"{kind}-{seed}", {"seed": seed, **untrained})
                for one in measured(root, f"{kind}-{seed}"):
                    rows.append({"seed": seed, "network": kind, **one._asdict()})
    frame = compared(rows)
    minutes = (time.monotonic() - started) / 60
    text = (
        f"By `make proof` in {minutes:.0f} minutes, on {machine()}. Each seed: trained / Random.\n\n{table(frame)}\n\n"
        f"Seconds of an evaluation, median of {2 * len(SEEDS)} networks: {times(frame)}."
    )
    print(text)
    frame.round(3).to_csv(TABLE, index=False)
    write(DOCUMENT, text, START, END)
    for line in missed(frame):
        print(line, file=sys.stderr)
    return 1 if missed(frame) else 0


if __name__ == "__main__":
    sys.exit(main())
