"""What the evaluations of a run measured, in pandas."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.recording.hashes import md5
from pipeline.recording.recorded_files import recorded_hash
from stages.artifacts.documents import load_json
from stages.artifacts.records import recorded_stages
from stages.artifacts.tables import read_parquet
from stages.dag.folders import evaluation_folder, run_folder
from stages.dag.names import CURVE, PREDICTIONS, RESULT, WEIGHTS
from stages.errors import Refusal
from stages.protocols.measured import pictures_of

COLUMNS = ("evaluation", "protocol", "test", "number", "value")


def evaluated(run: Path) -> list[str]:
    """The evaluations that have a result, in order of name.

    Args:
        run: the run's folder.
    """
    return sorted(path.parent.name for path in run.glob(f"evaluations/*/{RESULT}"))


def record_of(folder: Path) -> dict[str, Any]:
    """The stage's entry in the dvc.lock of an evaluation's folder; empty where there is none."""
    entry: dict[str, Any] = next(iter(recorded_stages(folder).values()), {})
    return entry


def outdated(root: Path, run: str, name: str) -> str | None:
    """Why a result is not one of the run's network and of the pictures as they are now; None where it is.

    Of one that DVC did not record, such as from another machine, that is not known.
    """
    folder = root / evaluation_folder(run, name)
    again = f"`python -m pipeline evaluate --run {run} {name}` measures it again"
    entry = record_of(folder)
    if not entry:
        return None
    if recorded_hash(entry, "outs", RESULT) != md5(folder / RESULT):
        return f"is not what was recorded: {again}"
    network = recorded_stages(root / run_folder(run)).get("weights", {})
    if recorded_hash(entry, "deps", WEIGHTS) != recorded_hash(network, "outs", WEIGHTS):
        return f"is of another network than the run has now: {again}"
    for dep in entry["deps"]:
        path = (folder / dep["path"]).resolve()
        # Pictures that are elsewhere by now are not looked at.
        if path.name != WEIGHTS and path.exists() and md5(path) != dep.get("md5"):
            return f"is of other pictures than {path.parent.relative_to(root.resolve())} has now: {again}"
    return None


class EvaluationFiles:
    """What one evaluation of a run wrote.

    Attributes:
        folder: where it lies.
        result: content of result.json: settings, network, measured_on, follows and numbers.

    Raises:
        Refusal: there is no such evaluation.
    """

    def __init__(self, run: Path, name: str) -> None:
        """Opens the evaluation `name` in a run's folder."""
        self.folder = run / "evaluations" / name
        if not (self.folder / RESULT).exists():
            raise Refusal(
                f"run {run.name} has no result of {name!r} (there are: {', '.join(evaluated(run)) or 'none'}); "
                f"`python -m pipeline evaluate --run {run.name} NAME` measures it by an entry of `evaluations`"
            )
        self.result: dict[str, Any] = load_json(self.folder / RESULT)

    def __repr__(self) -> str:
        return f"EvaluationFiles({self.result['evaluation']!r} of run {self.result['run']!r})"

    @property
    def numbers(self) -> dict[str, float]:
        """What was measured, in percent, by dotted names such as top1.conv3."""
        return dict(_flat(self.result["numbers"]))

    @property
    def curve(self) -> pd.DataFrame:
        """Loss and validation by epoch or step.

        Raises:
            Refusal: the protocol trains nothing.
        """
        return self._table(CURVE)

    @property
    def predictions(self) -> pd.DataFrame:
        """What the numbers were computed from, as the protocol's stage says (`stages/NAME.py`).

        Raises:
            Refusal: the protocol has none.
        """
        return self._table(PREDICTIONS)

    def _table(self, name: str) -> pd.DataFrame:
        if not (self.folder / name).exists():
            there = ", ".join(sorted(path.name for path in self.folder.glob("*.parquet"))) or "none"
            protocol = self.result["settings"]["protocol"]
            raise Refusal(f"{self.folder} has no {name}; tables of the protocol {protocol}: {there}")
        return read_parquet(self.folder / name)


def told(root: Path, run: str, name: str) -> EvaluationFiles:
    """What an evaluation of a run wrote, with a warning where it is outdated."""
    found = EvaluationFiles(root / run_folder(run), name)
    if why := outdated(root, run, name):
        warnings.warn(f"run {run}: {name} {why}", stacklevel=3)
    return found


def numbers_table(root: Path, run: str) -> pd.DataFrame:
    """A row a number: evaluation, protocol, test (data, and split), number (dotted name, as str), value (float64)."""
    rows = []
    for name in evaluated(root / run_folder(run)):
        files = told(root, run, name)
        settings = files.result["settings"]
        for number, value in files.numbers.items():
            rows.append((name, settings["protocol"], pictures_of(settings["test"]), number, value))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": "float64"})


def _flat(numbers: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", float(value)
