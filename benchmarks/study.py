"""The paper's study in small (section 4.1 and 4.2), on photographs: `make study IMAGES=FOLDER` writes docs/results.md.

FOLDER holds train/CLASS/ and test/CLASS/ with pictures of 32 pixels, such as CIFAR-10's. Every row of `VARIANTS` is a
run of the pipeline for each seed, in a copy of the project that stays in `--work`: stopped, the same command goes on.
A row is measured by the linear probe of its last layers, beside the same network untrained, and by its groups against
the classes. All numbers are in docs/study.csv: variant, seed, epoch, measure, value.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from learn import ROOT, SEEDS, project
from report import machine

from pipeline import open_run
from pipeline.preparing import Request
from pipeline.run import run
from pipeline.settings import Settings
from stages.parameters.resolution import merge
from stages.runtime.report import Reporter

DOCUMENT, TABLE = ROOT / "docs" / "results.md", ROOT / "docs" / "study.csv"
START, END = "<!-- study: begin -->", "<!-- study: end -->"

BASE = "cifar"
"""The run of params.yaml that all variants change."""

V2 = "cifar-v2"

PROBE = "cifar-linear"
"""The entry of `evaluations` that every run is measured by."""

UNTRAINED: dict[str, Any] = {"epochs": 0}

VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "as it is": (BASE, "", {}),
    "untrained": (BASE, "", UNTRAINED),
    "deepcluster-v2": (V2, "", {}),
    "deepcluster-v2, untrained": (V2, "", UNTRAINED),
    "permuted pseudo-labels": (BASE, "learns nothing", {"pseudolabel": {"permuted": True}}),
    "classes as pseudo-labels": (BASE, "ceiling", {"cluster": {"method": "labels"}}),
    "Sobel filters": (BASE, "3.2: colour is of no use to it", {"model": {"sobel": True}}),
    "no whitening": (BASE, "3.4: whitened", {"whiten": {"scale": False}}),
    "draws not uniform": (BASE, "3.3: uniform over clusters", {"train": {"sampling": "shuffled"}}),
    "clustered once": (BASE, "3.4: anew each epoch", {"cluster": {"every": 100_000}}),
    "no dropout": (BASE, "3.4: dropout", {"train": {"top_dropout": 0.0}}),
    "crops and flips alone": (
        BASE,
        "3.4: crops and flips",
        {"train": {"augment": {"jitter": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}}},
    ),
    "no augmentation": (
        BASE,
        "3.4: crops and flips",
        {"train": {"augment": {"area": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}}},
    ),
    **{f"k {k}": (BASE, "Figure 2c", {"cluster": {"k": k}}) for k in (10, 30, 300, 1000)},
}
"""By the name of a row: the run that it changes, what it is for, and the change."""


def enter(root: Path, name: str, variant: str, seed: int) -> None:
    """The run of a variant and a seed in params.yaml; one that is there already stays as it is."""
    settings = Settings(root)
    if name in settings.runs():
        return
    base, _, change = VARIANTS[variant]
    values = merge(merge(settings.content["runs"][base], change), {"seed": seed, "evaluations": [PROBE]})
    settings.put(f"runs.{name}", values)
    settings.save()


def measured(root: Path, name: str) -> Iterator[tuple[str | int, str, float]]:
    """Epoch, measure and value of a finished run: its curves (Figure 2a and 2b), its groups, its probe."""
    finished = open_run(name, root)
    for row in finished.history().to_dict("records"):
        for measure in ("nmi_labels", "ami_labels", "nmi_previous", "loss"):
            if not pd.isna(row[measure]):
                yield row["epoch"], measure, float(row[measure])
    last = finished.history().iloc[-1]
    # Groups that are the classes themselves say nothing of the features.
    groups = ("nmi_labels", "ami_labels", "purity") if finished.params.cluster.method != "labels" else ()
    for measure in (*groups, "knn_accuracy"):
        yield "final", measure, float(last[measure])
    for number, value in finished.evaluation(PROBE).numbers.items():
        yield "final", f"probe {number}", float(value)
    yield "final", "minutes", float(finished.timings()["seconds"].sum()) / 60


def slug(variant: str, seed: int) -> str:
    """The name of a run."""
    words = "".join(letter if letter.isalnum() else "-" for letter in variant.lower())
    return f"{'-'.join(filter(None, words.split('-')))}-seed-{seed}"


def table(frame: pd.DataFrame) -> str:
    """Markdown: a row a variant, the means over its seeds and their spread."""
    final = frame[frame["epoch"] == "final"]
    probes = sorted(measure for measure in final["measure"].unique() if measure.startswith("probe top1."))
    columns = {probe: f"linear on {probe.removeprefix('probe top1.')}, %" for probe in probes[-2:]}
    columns |= {"nmi_labels": "NMI", "ami_labels": "AMI", "minutes": "minutes"}
    head = ["variant", "of the paper", "seeds", *columns.values()]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for variant, (_, why, _) in VARIANTS.items():
        rows = final[final["variant"] == variant]
        if rows.empty:
            continue
        cells = [variant, why, str(rows["seed"].nunique())]
        for measure in columns:
            values = rows.loc[rows["measure"] == measure, "value"]
            if values.empty:
                cells.append("")
                continue
            digits = 3 if measure in ("nmi_labels", "ami_labels") else 1
            cells.append(f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(frame: pd.DataFrame, text: str) -> None:
    frame.round(4).to_csv(TABLE, index=False)
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


def prepared(work: Path, images: Path, sets: Mapping[str, Any]) -> Path:
    """The copy of the project in `work`, on these pictures."""
    if not (work / "params.yaml").exists():
        project(work)
    settings = Settings(work)
    for dataset, part in (("cifar10", "train"), ("cifar10-test", "test")):
        settings.put(f"datasets.{dataset}.path", str((images / part).resolve()))
    for run_name in (BASE, V2):
        own = settings.content["runs"][run_name]
        settings.put(f"runs.{run_name}", merge(own, dict(sets)))
    settings.save()
    return work


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder with train/CLASS/ and test/CLASS/")
    parser.add_argument("--work", type=Path, default=ROOT / ".study", help="where the runs are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--epochs", type=int, help="of every run, instead of what params.yaml says")
    given = parser.parse_args()
    sets = {} if given.epochs is None else {"epochs": given.epochs, "train": {"horizon": given.epochs}}
    root = prepared(given.work, given.images, sets)
    rows = []
    for seed in given.seeds:
        for variant in given.only:
            name = slug(variant, seed)
            enter(root, name, variant, seed)
            with Reporter() as report:
                run(root, Request(name), report)
            rows += [
                {"variant": variant, "seed": seed, "epoch": epoch, "measure": measure, "value": value}
                for epoch, measure, value in measured(root, name)
            ]
    frame = pd.DataFrame(rows)
    text = f"By `make study`, on {machine()}. Mean of the seeds (least to most).\n\n{table(frame)}"
    print(text)
    write(frame, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
