"""pipeline/retention/: a run by `recipe: deepcluster-v2` without the large artifacts of its old epochs."""

from __future__ import annotations

import pytest
import torch
from pipeline_helpers import content_of, params_of
from projects import merged
from retention_helpers import assert_clean, files, guard_of, prune, stages_of, states
from stage_helpers import refused
from v2_helpers import DIM, NAMES, V2, K, N

from pipeline import open_run
from pipeline.branch import branch
from pipeline.recording.inspector import of_run
from pipeline.results.embedder import Embedder
from pipeline.results.epoch_files import EpochFiles
from pipeline.retention.space import parameters, space
from stages.artifacts.checkpoints import build
from stages.method.architectures import ARCHITECTURES
from stages.parameters.resolution import resolve_run
from stages.runtime.report import Reporter

LARGE = {"features.zarr", "trained"}


@pytest.fixture
def pruned(v2_copy):
    v2_copy.run(epochs=3)
    assert prune(v2_copy, "retain.last=1").epochs == [2, 1]
    return v2_copy


def test_old_epochs_lose_what_is_large_and_status_is_clean(pruned, cli):
    assert [files(pruned, epoch) for epoch in (1, 2, 3)] == [
        set(NAMES["files"]) - LARGE - {"checkpoint.pt"},
        set(NAMES["files"]) - LARGE,
        set(NAMES["files"]),
    ]
    assert stages_of(pruned, 1) == {"pruned"} and stages_of(pruned, 3) == set(NAMES["stages"])
    assert not any(
        "whiten" in name or name == "recipe" for name in guard_of(pruned, 1)["params"][0]["../../params.yaml"]
    )
    assert_clean(pruned)
    ended = cli(pruned.root, "status")
    assert (ended.status, ended.err) == (0, "")
    assert "nothing to do, all stages are up to date" in pruned.run()


def test_pruned_epochs_are_refused_in_one_line_and_what_is_kept_is_read(pruned):
    run = open_run("demo", pruned.root)
    for call in (lambda: run.features(1), lambda: run.neighbours(0, epoch=1), lambda: run.nearest_pairs(epoch=1)):
        line = refused(call)
        assert line.startswith("epoch 1 of run demo is pruned and keeps no features.zarr")
        assert line.endswith("epochs that have it: 3")
    assert "checkpoint.pt" in refused(lambda: run.model(1))
    assert run.clusters(1)["size"].sum() == N
    assert run.history()["clusters"].tolist() == [K] * 4
    own = EpochFiles(pruned.root, "demo", params_of(pruned.root))
    assert "is pruned" in refused(lambda: Embedder(own, 2, Reporter()))
    assert Embedder(own, 3, Reporter()).dim == 8


def test_a_branch_from_a_pruned_epoch_is_refused_and_one_from_a_kept_checkpoint_goes_on(pruned):
    assert "epoch 1 of run demo is pruned" in refused(lambda: branch(pruned.root, "demo@1", "b", [], None))
    branch(pruned.root, "demo@2", "b", [], None)
    pruned.run("b")
    for name in ("assignments.parquet", "trained/checkpoint.pt"):
        path = f"epochs/0003/{name}"
        assert pruned.run_path(path, "b").read_bytes() == pruned.run_path(path).read_bytes()


def test_another_parameter_of_a_pruned_epoch_is_refused(pruned):
    before = pruned.tree()
    pruned.edit({"cluster": {"heads": 2}})
    assert states(pruned)["epochs/0001:pruned"] != "done"
    assert "cluster.heads" in refused(lambda: pruned.run(yes=True))
    assert pruned.tree() == before


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_is_counted_with_its_projection(architecture):
    content = content_of()
    content["recipe"] = "deepcluster-v2"
    content["model"] |= {"architecture": architecture, "input": 64, "projection": {"hidden": 30, "dim": 7}}
    content["runs"]["demo"] = {}
    params = resolve_run(content, "demo")
    with torch.device("meta"):
        assert parameters(params) == sum(value.numel() for value in build(params.model).parameters())


def test_a_run_needs_room_for_the_rows_of_every_view_and_clustering(make_project):
    project = make_project(change=V2, plan=False)

    def needed(**change):
        content = merged(content_of(project.root), change)
        params = resolve_run(content, "demo")
        return space(project.root, params, N, of_run(project.root, params)).needed * 1e9

    # In two epochs and final/.
    assert needed(extract={"views": 3}) - needed() == pytest.approx(3 * N * DIM * 4)
    # Twice each, since a rerun keeps the old ones; pseudo-labels have none in final/.
    rows, centroids = (3 + 2) * N * 4, 3 * K * DIM * 4
    assert needed(cluster={"heads": 5}) - needed() == pytest.approx(2 * 2 * (rows + centroids))
    # Nothing is whitened.
    assert needed(whiten={"dim": 3}) == needed()
