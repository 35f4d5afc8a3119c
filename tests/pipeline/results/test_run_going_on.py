"""pipeline/results/run.py while a run goes on: what is finished is there, the rest empty or refused."""

from __future__ import annotations

import pytest
import torch
from pipeline_helpers import params_of, unlink
from results_helpers import N, types

from pipeline import open_run
from pipeline.results.inventory import runs
from stages.artifacts.measures import HISTORY
from stages.artifacts.run_params import render
from stages.errors import Refusal


@pytest.fixture
def going_on(finished_copy):
    """As it is in the middle of epoch 2: the clustering is there, the network is not."""
    epoch = finished_copy.run_path("epochs/0002")
    unlink(epoch / "trained", epoch / "checkpoint.pt", epoch / "metrics.json", finished_copy.run_path("final"))
    unlink(finished_copy.run_path("model.safetensors"), finished_copy.run_path("history.csv"))
    (epoch / ".partial-train").mkdir()
    return finished_copy


def test_everything_finished_is_there_while_the_run_goes_on(going_on):
    run = open_run("demo", going_on.root)
    assert run.epochs() == [1]
    assert run.history()["epoch"].tolist() == [1]
    assert types(run.history()) == HISTORY
    assert list(run.assignments().columns) == [1, 2]
    assert run.nmi()["epoch"].tolist() == [1]
    assert 0 < run.nmi(1, 2) < 1
    assert run.clusters(2)["size"].sum() == N
    assert run.transitions(1, 2)["images"].sum() == N
    assert len(run.images()) == N and run.image(3).size[0] >= 64
    assert run.features(2).shape[0] == N and len(run.pseudolabels(2)) == N
    assert len(run.timings()) > 0
    first = run.model(1).state_dict()
    assert all(torch.equal(value, first[name]) for name, value in run.model().state_dict().items())
    assert runs(going_on.root).set_index("run").loc["demo", "epochs"] == 1


def test_everything_is_empty_and_typed_before_the_first_epoch_ends(going_on):
    unlink(going_on.run_path("epochs/0001/metrics.json"))
    run = open_run("demo", going_on.root)
    assert run.epochs() == [] and len(run.history()) == 0 and len(run.nmi()) == 0
    assert types(run.history()) == HISTORY
    assert run.model().features(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 256)


def test_groups_before_the_end_are_refused(going_on):
    with pytest.raises(Refusal, match="final"):
        open_run("demo", going_on.root).groups()


def test_the_final_clustering_of_fewer_epochs_is_no_row_of_a_run_that_goes_on(finished_copy):
    # Epochs were added: final/ still holds the clustering of the network after epoch 2, and no later one.
    finished_copy.edit({"epochs": 5})
    finished_copy.run_path("params.yaml").write_bytes(render(params_of(finished_copy.root)))
    assert open_run("demo", finished_copy.root).history()["epoch"].tolist() in ([1, 2], [1, 2, 3])
