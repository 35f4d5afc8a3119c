"""pipeline/comparison.py: runs side by side."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from pipeline_helpers import params_of

import pipeline
from pipeline import open_run
from stages.artifacts.run_params import render
from stages.errors import Refusal
from stages.parameters.run import RunParams


def with_lr(params: RunParams, run: str, lr: float) -> RunParams:
    return params.model_copy(update={"run": run, "train": params.train.model_copy(update={"lr": lr})})


@pytest.fixture
def two(finished_copy):
    """Another run beside the demo, as if it had been trained with other parameters and stopped after an epoch."""
    other = finished_copy.run_path("", "other")
    shutil.copytree(finished_copy.run_path(""), other)
    (other / "params.yaml").write_bytes(render(with_lr(params_of(finished_copy.root), "other", 1e-5)))
    shutil.rmtree(other / "final")
    shutil.rmtree(other / "epochs/0002")
    return finished_copy


def test_only_what_differs_is_told_beside_the_final_measures(two):
    table = pipeline.compare("demo", "other", root=two.root)
    assert table.index.tolist() == ["demo", "other"] and table.index.name == "run"
    assert list(table.columns) == [
        "train.lr",
        "epochs",
        "nmi_labels",
        "ami_labels",
        "knn_accuracy",
        "loss",
        "largest_share",
        "minutes",
    ]
    assert table["train.lr"].tolist() == [params_of(two.root).train.lr, 1e-5]
    assert table["epochs"].tolist() == [2, 1]
    for name, last, trained in (("demo", 2, 1), ("other", 0, 0)):
        history = open_run(name, two.root).history()
        for measure in ("nmi_labels", "ami_labels", "knn_accuracy", "largest_share"):
            assert table.loc[name, measure] == history[measure][last]
        assert table.loc[name, "loss"] == history["loss"][trained]
    seconds = pd.read_csv(two.run_path("timings.csv"))["seconds"].sum()
    assert table.loc["demo", "minutes"] == pytest.approx(seconds / 60)


def test_a_run_without_labels_or_timings_has_none(two):
    two.run_path("timings.csv", "other").unlink()
    assert pipeline.compare("demo", "other", root=two.root)["minutes"].isna().tolist() == [False, True]


def test_the_command_prints_a_column_a_run(cli, two):
    ended = cli(two.root, "compare", "demo", "other")
    assert (ended.status, ended.err) == (0, "")
    lines = {words[0]: words[1:] for words in map(str.split, ended.out.splitlines()[1:])}
    assert ended.out.splitlines()[0].split() == ["demo", "other"]
    assert lines["train.lr"] == [str(params_of(two.root).train.lr), "1e-05"] and lines["epochs"] == ["2", "1"]
    assert len(lines) == 8


def test_runs_that_are_not_there_are_refused(cli, finished):
    assert "there is no run 'nosuch'" in cli.refused(finished.root, "compare", "demo", "nosuch")
    with pytest.raises(Refusal, match="pipeline runs"):
        pipeline.compare(root=finished.root)
