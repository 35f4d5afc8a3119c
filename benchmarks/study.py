"""The paper's preliminary study (section 4.1) in small, on photographs: `make study IMAGES=FOLDER`.

FOLDER holds train/CLASS/ and test/CLASS/ with pictures of 32 pixels, such as CIFAR-10's. Every row of `VARIANTS` is a
run of the pipeline for each seed, in a copy of the project that stays in `--work`: stopped, the same command goes on.
A row is measured by the linear probe of its layers, on test/, and by its groups against the classes of train/. With
`--whole` the rows are those of `WHOLE`, as long as params.yaml has them. What was measured is in docs/study.csv
(length, variant, seed, epoch, measure, value, machine), its tables in docs/results.md; docs/study.png shows the whole
rows. Runs that `--work` does not hold keep their lines there: the hours of a study may be of several days and machines.
Where a row has changed since, delete its lines.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from learn import ROOT, SEEDS, project
from report import processor, write
from study_figure import draw

from pipeline import open_run
from pipeline.preparing import Request
from pipeline.results.evaluations import evaluated
from pipeline.run import run
from pipeline.settings import Settings
from stages.dag.folders import run_folder
from stages.errors import Refusal
from stages.parameters.differences import changes
from stages.parameters.resolution import merge
from stages.runtime.report import Reporter

DOCUMENT, TABLE = ROOT / "docs" / "results.md", ROOT / "docs" / "study.csv"
PICTURE = ROOT / "docs" / "study.png"
START, END = "<!-- study: begin -->", "<!-- study: end -->"

PROBE = "cifar-linear"
"""The entry of `evaluations` that every run is measured by."""

GROUPS = 100
LAYERS = ("conv3", "conv4", "conv5")
MOST_SEEDS = 10

SHORT: dict[str, Any] = {"epochs": 8, "model": {"width": 0.5}, "train": {"horizon": 8}}
"""What all rows change in the runs of params.yaml, so that there is time for all of them."""

LENGTHS: dict[str, dict[str, Any]] = {"short": SHORT, "whole": {}}

CROPS_ALONE = {"jitter": 0.0, "hue": 0.0, "grey": 0.0}
BASE = "as it is"


class Variant(NamedTuple):
    """A row: what it changes in a run of params.yaml."""

    change: Mapping[str, Any]
    claim: str = ""
    """What the paper says of it, and where."""
    base: str = "cifar"


def of_k(k: int) -> dict[str, Any]:
    """Trained on k clusters; the groups are as many as those of the other rows, since NMI grows with k alone."""
    return {"cluster": {"k": k}, "final": {"cluster": {"k": GROUPS}}}


VARIANTS = {
    BASE: Variant({}),
    "untrained": Variant({"epochs": 0}, "4.3: far worse"),
    "permuted pseudo-labels": Variant({"pseudolabel": {"permuted": True}}),
    "classes as pseudo-labels": Variant({"cluster": {"method": "labels"}}, "4.3: better"),
    "Sobel filters": Variant({"model": {"sobel": True}}, "3.4, 4.2: better, colour says little"),
    "PCA without whitening": Variant({"whiten": {"scale": False}}, "3.4: whitened"),
    "pictures drawn equally often": Variant({"train": {"sampling": "shuffled"}}, "3.3: worse, large clusters win"),
    "clustered once": Variant({"cluster": {"every": 1_000}}, "3.4: each epoch is nearly optimal"),
    "no dropout": Variant({"train": {"top_dropout": 0.0}}, "3.4: dropout"),
    "crops and flips alone": Variant({"train": {"augment": CROPS_ALONE}}, "3.4: crops and flips"),
    "no augmentation": Variant({"train": {"augment": CROPS_ALONE | {"area": 1.0, "flip": 0.0}}}, "3.4: worse"),
    "top layer without momentum": Variant({"train": {"top_momentum": 0.0}}, "the released code's"),
    "top layer kept": Variant({"train": {"top_kept": True}}, "the released code: new in each epoch"),
    "constant step size": Variant({"train": {"schedule": "constant"}}, "3.4: constant"),
    **{f"k {k}": Variant(of_k(k), "Fig. 2c: far more than classes is best") for k in (10, 30, 300, 1000)},
    "deepcluster-v2": Variant({}, "Caron et al. 2020: better", "cifar-v2"),
    "deepcluster-v2, untrained": Variant({"epochs": 0}, "", "cifar-v2"),
}

WHOLE = (BASE, "untrained", "permuted pseudo-labels", "deepcluster-v2", "deepcluster-v2, untrained")
"""The rows that hold the runs of params.yaml to their targets."""

COLUMNS = ("length", "variant", "seed", "epoch", "measure", "value", "machine")


class Row(NamedTuple):
    """A run of the study."""

    length: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the run."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.variant.lower()).split()
        return "-".join([self.length, *words, str(self.seed)])

    def values(self, runs: Mapping[str, Any]) -> dict[str, Any]:
        """What the run changes, given `runs` of params.yaml."""
        variant = VARIANTS[self.variant]
        values = merge(merge(runs[variant.base], LENGTHS[self.length]), variant.change)
        return merge(values, {"seed": self.seed, "evaluations": [PROBE]})


def enter(root: Path, rows: Sequence[Row]) -> Settings:
    """params.yaml with the runs of these rows."""
    settings = Settings(root)
    if new := [row for row in rows if row.name not in settings.runs()]:
        for row in new:
            settings.put(f"runs.{row.name}", row.values(settings.content["runs"]))
        settings.save()
    return settings


def measured(root: Path, name: str) -> Iterator[tuple[int | str, str, float]]:
    """Epoch, measure and value: the curves of Fig. 2a and 2b, the groups of the finished network, its probe."""
    finished = open_run(name, root)
    history = finished.history()
    # Groups that are the classes themselves say nothing of the features.
    groups = ("nmi_labels", "ami_labels") if finished.params.cluster.method != "labels" else ()
    for i, row in enumerate(history.to_dict("records"), start=1):
        for measure in (*groups, "nmi_previous", "knn_accuracy"):
            if not pd.isna(row[measure]):
                yield "final" if i == len(history) else row["epoch"], measure, float(row[measure])
    for number, value in finished.evaluation(PROBE).numbers.items():
        if number.startswith("top1."):
            yield "final", number.removeprefix("top1."), value
    timings = finished.timings()
    yield "final", "minutes", float(timings.loc[timings["stage"] != "linear_probe", "seconds"].sum()) / 60


def all_measured(root: Path) -> pd.DataFrame:
    """What the finished runs of a study measured, in the order of its rows; columns as `COLUMNS` says.

    Raises:
        Refusal: one was made by other parameters than params.yaml and `VARIANTS` give today.
    """
    every = (Row(*row) for row in product(LENGTHS, VARIANTS, range(MOST_SEEDS)))
    rows, found = [row for row in every if PROBE in evaluated(root / run_folder(row.name))], list[tuple[Any, ...]]()
    settings = enter(root, rows)
    for row in rows:
        if edited := changes(open_run(row.name, root).params, settings.resolve(row.name)):
            raise Refusal(
                f"{root}: run {row.name} was made with another {edited[0][0]}: delete it, or give another --work"
            )
        found += [(*row, *value, processor()) for value in measured(root, row.name)]
    return pd.DataFrame(found, columns=list(COLUMNS))


def with_others(frame: pd.DataFrame, table: Path) -> pd.DataFrame:
    """What was measured, to four decimals, with what `table` has of other runs; in the order of the rows."""
    run = ["length", "variant", "seed"]
    frame = frame.round(4).astype({"epoch": str})
    if table.exists():
        old = pd.read_csv(table, dtype={"epoch": str})
        again = pd.MultiIndex.from_frame(old[run]).isin(pd.MultiIndex.from_frame(frame[run]))
        # A run that was there already was measured where its lines say.
        before = frame.drop(columns="machine").merge(old, how="left")["machine"].to_numpy()
        frame = pd.concat([old[~again], frame.assign(machine=np.where(pd.isna(before), frame["machine"], before))])
    place = {name: i for i, name in enumerate([*LENGTHS, *VARIANTS])}
    return (
        frame[frame["variant"].isin(VARIANTS)]
        .sort_values(run, key=lambda column: column.replace(place), kind="stable")
        .reset_index(drop=True)
    )


def spread(values: pd.Series, digits: int, sign: str = "") -> str:
    """The mean, and the least and the most where there are several."""
    mean = f"{values.mean():{sign}.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ({values.min():{sign}.{digits}f} to {values.max():{sign}.{digits}f})"


def rows_table(frame: pd.DataFrame) -> str:
    """Markdown: a row a variant; the difference is of each seed to the unchanged run of that seed."""
    head = ["changed", "the paper", "seeds", *(f"{layer}, %" for layer in LAYERS)]
    head += [f"difference in {LAYERS[-1]}", "NMI", "AMI", "minutes"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    final = frame[frame["epoch"] == "final"]
    values = final.set_index(["variant", "measure", "seed"])["value"].sort_index()
    for variant, row in VARIANTS.items():
        if variant not in values.index:
            continue
        own = values[variant]
        gain = (own[LAYERS[-1]] - values[BASE][LAYERS[-1]]).dropna() if BASE in values.index else pd.Series()
        groups = [spread(own[one], 3) if one in own.index else "" for one in ("nmi_labels", "ami_labels")]
        cells = [variant, row.claim, str(len(own["minutes"])), *(spread(own[layer], 1) for layer in LAYERS)]
        cells += [spread(gain, 1, "+") if len(gain) and variant != BASE else "", *groups]
        lines.append(f"| {' | '.join([*cells, spread(own['minutes'], 1)])} |")
    return "\n".join(lines)


def curves_table(frame: pd.DataFrame) -> str:
    """Markdown: Fig. 2a and 2b of the unchanged run, a row an epoch; nothing where it has none."""
    lines = ["| epoch | NMI to the classes (2a) | NMI to the epoch before (2b) |", "| --- | --- | --- |"]
    curves = frame[(frame["variant"] == BASE) & (frame["epoch"] != "final")]
    for epoch, rows in curves.groupby(curves["epoch"].astype(int)):
        values = {measure: of["value"] for measure, of in rows.groupby("measure")}
        cells = [spread(values[one], 3) if one in values else "" for one in ("nmi_labels", "nmi_previous")]
        lines.append(f"| {epoch} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(curves) else ""


def text_of(frame: pd.DataFrame) -> str:
    """What docs/results.md holds of the study."""
    parts = ["By `benchmarks/study.py`. Means over the seeds, and the least and the most of them."]
    whole, short = (frame[frame["length"] == length] for length in ("whole", "short"))
    if len(whole):
        parts += [f"As long as params.yaml has them (`--whole`), on {_machines(whole)}:", rows_table(whole)]
        parts += [curves_table(whole)]
    if len(short):
        how = f"{SHORT['epochs']} epochs of a network of width {SHORT['model']['width']}"
        parts += [f"In short, {how}, on {_machines(short)}:", rows_table(short)]
    return "\n\n".join(filter(None, parts))


def _machines(frame: pd.DataFrame) -> str:
    return "; ".join(frame["machine"].unique())


def prepared(work: Path, images: Path) -> Path:
    """The copy of the project in `work`, with the params.yaml of today, on these pictures.

    Raises:
        Refusal: the pictures are not there.
    """
    if not (work / ".git").exists():
        project(work)
    shutil.copy2(ROOT / "params.yaml", work / "params.yaml")
    settings = Settings(work)
    for dataset, part in (("cifar10", "train"), ("cifar10-test", "test")):
        folder = (images / part).resolve()
        if not folder.is_dir():
            raise Refusal(f"{folder} is no folder: give one with train/CLASS/ and test/CLASS/")
        settings.put(f"datasets.{dataset}.path", str(folder))
    settings.save()
    return work


def study(root: Path, length: str, seeds: Sequence[int], variants: Sequence[str]) -> None:
    """Makes the runs of a table that are not there, and writes it after each, so that hours need not be waited for."""
    rows = [Row(length, variant, seed) for seed, variant in product(seeds, variants)]
    enter(root, rows)
    # What is there already is looked at before hours of training.
    all_measured(root)
    for row in rows:
        with Reporter() as report:
            run(root, Request(row.name), report)
        frame = with_others(all_measured(root), TABLE)
        frame.to_csv(TABLE, index=False)
        write(DOCUMENT, text_of(frame), START, END)
        draw(frame[frame["length"] == "whole"], LAYERS, PICTURE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder with train/CLASS/ and test/CLASS/")
    parser.add_argument("--work", type=Path, default=ROOT / ".study", help="where the runs are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), choices=range(MOST_SEEDS))
    parser.add_argument("--whole", action="store_true", help="as long as params.yaml has them")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="VARIANT")
    given = parser.parse_args()
    length = "whole" if given.whole else "short"
    rows = given.only or (WHOLE if given.whole else list(VARIANTS))
    try:
        study(prepared(given.work, given.images), length, given.seeds, rows)
    except Refusal as refusal:
        sys.exit(str(refusal))
    return 0


if __name__ == "__main__":
    sys.exit(main())
