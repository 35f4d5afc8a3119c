"""Interleaved rounds, and what is said of them: medians, ratios of each round, quartiles, verdicts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MET, MISSED, UNCLEAR = "met", "missed", "not separable here"


@dataclass(frozen=True)
class Side:
    """One of the things compared.

    Attributes:
        run: does it once and returns the seconds that count.
        rounds: in how many of the first rounds it takes part; None: in all.
        least: seconds that a round shall last; it is repeated until then, and the mean counts.
    """

    name: str
    run: Callable[[], float]
    rounds: int | None = None
    least: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of docs/performance.csv."""

    part: str
    what: str
    n: str
    rounds: int
    median: float
    unit: str = "s"
    against: str = ""
    ratio: float | None = None
    q1: float | None = None
    q3: float | None = None
    bar: str = ""
    verdict: str = ""
    note: str = ""


def timed(function: Callable[[], object]) -> Callable[[], float]:
    """`function` with its wall-clock seconds as the result."""

    def run() -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return run


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def interleaved(sides: list[Side], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round: A B C, A B C, ..."""
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for i in range(rounds):
        for side in sides:
            if side.rounds is not None and i >= side.rounds:
                continue
            spent = [side.run()]
            while sum(spent) < side.least:
                spent.append(side.run())
            seconds[side.name].append(float(np.mean(spent)))
            tell(f"  round {i + 1}/{rounds}  {side.name}: {seconds[side.name][-1]:.3f} s, {len(spent)} times")
    return seconds


def quartiles(values: list[float]) -> tuple[float, float, float]:
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return float(q1), float(median), float(q3)


def at_least(bar: float, q1: float, q3: float) -> str:
    return MET if q1 >= bar else MISSED if q3 < bar else UNCLEAR


def at_most(bar: float, q1: float, q3: float) -> str:
    return MET if q3 <= bar else MISSED if q1 > bar else UNCLEAR


def compared(
    part: str,
    n: str,
    seconds: dict[str, list[float]],
    ours: str,
    bars: dict[str, float] | None = None,
    notes: dict[str, str] | None = None,
    by_median: bool = False,
) -> list[Row]:
    """A row a side; the ratio is the other's seconds over those of `ours` in the same round.

    Args:
        bars: the least ratio, by the name of the other side.
        notes: by the name of a side.
        by_median: whether the median alone says if a bar is met, for want of rounds.
    """
    bars, notes = bars or {}, notes or {}
    rows = []
    for name, spent in seconds.items():
        if not spent:
            continue
        row = Row(part, name, n, len(spent), float(np.median(spent)), note=notes.get(name, ""))
        if name != ours:
            q1, median, q3 = quartiles([b / a for a, b in zip(seconds[ours], spent, strict=False)])
            bar = bars.get(name)
            row = Row(
                **{
                    **vars(row),
                    "against": ours,
                    "ratio": median,
                    "q1": q1,
                    "q3": q3,
                    "bar": "" if bar is None else f"≥ {bar:g}×",
                    "verdict": "" if bar is None else at_least(bar, *((median, median) if by_median else (q1, q3))),
                }
            )
        rows.append(row)
    return rows


def limited(part: str, what: str, n: str, values: list[float], unit: str, most: float | None, note: str = "") -> Row:
    """A row of one quantity with, where there is one, the most that it may be."""
    q1, median, q3 = quartiles(values)
    bar, verdict = ("", "") if most is None else (f"≤ {most:g} {unit}".strip(), at_most(most, q1, q3))
    return Row(part, what, n, len(values), median, unit, bar=bar, verdict=verdict, note=note)
