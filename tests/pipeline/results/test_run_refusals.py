"""pipeline/results/run.py asked for what is not there: one line that says so."""

from __future__ import annotations

import pytest
from pipeline_helpers import unlink
from results_helpers import N

from pipeline import open_run
from stages.errors import Refusal


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.assignments(99),
        lambda run: run.assignments(0),
        lambda run: run.assignments("last"),
        lambda run: run.nmi(1),
        lambda run: run.nmi(1, 99),
        lambda run: run.clusters(99),
        lambda run: run.transitions(1, 99),
        lambda run: run.features(99),
        lambda run: run.whitened(0),
        lambda run: run.centroids(99),
        lambda run: run.pseudolabels(99),
        lambda run: run.steps(99),
        lambda run: run.model(99),
        lambda run: run.image(N),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(run, ask):
    with pytest.raises(Refusal) as refused:
        ask(run)
    assert "\n" not in str(refused.value)


def test_the_number_of_historys_last_row_is_refused_with_the_name_of_its_clustering(run):
    row = int(run.history()["epoch"].iloc[-1])
    with pytest.raises(Refusal, match=r"epochs with a clustering: 1, 2, final; the last row of `history` is final$"):
        run.assignments(row)
    with pytest.raises(Refusal, match=r"epochs with a clustering: 1, 2, final$"):
        run.assignments(row + 1)


def test_an_unknown_run_is_refused_with_those_that_are_known(finished):
    with pytest.raises(Refusal, match=r"there is no run 'nope'.*pipeline run --run nope"):
        open_run("nope", finished.root)


def test_a_run_whose_parameters_are_gone_has_begun(finished_copy):
    unlink(finished_copy.run_path("params.yaml"))
    with pytest.raises(Refusal, match=r"params\.yaml is missing: `python -m pipeline run --run demo` writes it anew"):
        open_run("demo", finished_copy.root)


def test_a_folder_outside_any_project_is_refused(tmp_path):
    with pytest.raises(Refusal, match="not inside a clone"):
        open_run("demo", tmp_path)


def test_a_missing_chunk_of_features_is_refused_with_the_command_that_makes_it(finished_copy):
    unlink(finished_copy.run_path("epochs/0002/features.zarr/c.1.0"))
    with pytest.raises(Refusal, match=r"c\.1\.0.*rerun extract --run demo --epoch 2"):
        open_run("demo", finished_copy.root).features(2).read()
