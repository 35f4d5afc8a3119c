"""pipeline/results/inventory.py: the list of all runs."""

from __future__ import annotations

import pytest

from pipeline import open_run
from pipeline.results.inventory import runs


def test_runs_are_listed_with_their_size_on_disk(finished):
    table = runs(finished.root).set_index("run")
    files = [path for path in finished.run_path("").rglob("*") if path.is_file()]
    once = {path.stat().st_ino: path.stat().st_size for path in files}
    row = table.loc["demo"]
    assert (row["dataset"], row["epochs"], row["planned"]) == ("demo", 2, 2)
    assert row["gigabytes"] == pytest.approx(sum(once.values()) / 1e9)
    assert row["nmi_labels"] == pytest.approx(open_run("demo", finished.root).nmi()["labels"].iloc[-1])
    assert table.loc["imagenet-vgg16", "epochs"] == 0
