"""What the evaluations of a run measured, in pandas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stages.artifacts.documents import load_json
from stages.artifacts.tables import read_parquet
from stages.dag.names import CURVE, PREDICTIONS, RESULT
from stages.errors import Refusal
from stages.protocols.measured import pictures_of

COLUMNS = ("evaluation", "protocol", "test", "number", "value")


def evaluated(run: Path) -> list[str]:
    """The evaluations that have a result, in order of name.

    Args:
        run: the run's folder.
    """
    return sorted(path.parent.name for path in run.glob(f"evaluations/*/{RESULT}"))


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


def numbers_table(run: Path) -> pd.DataFrame:
    """A row a number: evaluation, protocol, test (data, and split), number (dotted name, as str), value (float64)."""
    rows = []
    for name in evaluated(run):
        files = EvaluationFiles(run, name)
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
