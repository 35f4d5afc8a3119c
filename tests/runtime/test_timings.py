"""stages/runtime/timings.py: a row for each stage that was run."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from runner_helpers import labels
from stage_helpers import RUN, Stopping, run_one

from stages.artifacts.run_params import load_run_params
from stages.runtime.timings import TIMING_COLUMNS


def test_a_row_of_timings_says_what_was_run_where_and_how_fast(finished_copy):
    project = finished_copy
    path = project.root / RUN / "timings.csv"
    before = len(pd.read_csv(path))
    run_one(project, "extract", "final")
    run_one(project, "whiten")
    table = pd.read_csv(path)
    assert tuple(table.columns) == TIMING_COLUMNS
    assert len(table) == before + 2
    extract, whiten = table.iloc[-2], table.iloc[-1]
    assert (extract["epoch"], extract["stage"]) == ("final", "extract")
    assert (whiten["epoch"], whiten["stage"]) == ("1", "whiten")
    assert extract["pid"] == os.getpid()
    assert extract["threads"] == load_run_params(project.root / RUN).threads
    assert extract["device"] == "cpu"
    assert extract["seconds"] > 0
    assert extract["images_per_s"] == pytest.approx(170 / extract["seconds"], rel=0.1)
    assert 10 < extract["peak_anon_mb"] < 100_000
    assert f"torch {torch.__version__.partition('+')[0]}" in extract["versions"]
    assert f"numpy {np.__version__}" in extract["versions"]


def test_every_stage_of_a_warm_run_has_one_pid(finished):
    table = pd.read_csv(finished.root / RUN / "timings.csv")
    assert table["pid"].nunique() == 1
    assert set(table["stage"]) >= {
        "resolve",
        "init",
        "extract",
        "whiten",
        "cluster",
        "pseudolabel",
        "train",
        "checkpoint",
    }


def test_a_table_of_timings_that_cannot_be_written_loses_no_result(finished_copy):
    path = finished_copy.root / RUN / "timings.csv"
    path.unlink()
    path.mkdir()
    report = Stopping()
    run_one(finished_copy, "pseudolabel", report=report)
    assert labels(finished_copy).exists()
    assert "timings.csv could not be written" in report.told
