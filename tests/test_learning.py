"""The method learns: clusters of the trained network say more about the classes than the random network's.

A smaller set than `make learn`, which has three seeds and the controls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline import open_run

LEAST_GAIN = 0.05


def test_the_demo_learns(make_project: Callable[..., Any]) -> None:
    project = make_project(
        change={
            "epochs": 8,
            "datasets": {"demo": {"generate": {"images": 1000}}},
            "model": {"width": 0.25},
            "extract": {"batch": 64},
            "whiten": {"dim": 256},
            "cluster": {"k": 40},
            "train": {"batch": 32, "lr": 0.02, "passes": 2},
        }
    )
    project.run()
    nmi = open_run("demo", project.root).history()["nmi_labels"]
    assert nmi.iloc[-1] - nmi.iloc[0] >= LEAST_GAIN
