"""pipeline/*.py on a pruned run: status, tables, branch, rerun and verify."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from pipeline_helpers import flip_byte
from retention_helpers import SMALL_FILES, assert_clean, files

from pipeline import open_run
from pipeline.branch import branch
from stages.errors import Refusal
from stages.parameters.retain import RetainParams


def test_status_says_which_epochs_are_pruned(shortened, cli):
    ended = cli(shortened.root, "status")
    assert "epochs pruned: 1 to 4" in ended.out and "all done, 4 of them pruned" in ended.out
    listed = [line.split() for line in cli(shortened.root, "status", "--every").out.splitlines()]
    assert ["data/runs/demo/epochs/0001", "to", "0004", "pruned"] in listed and [
        "data/runs/demo/epochs/0005",
        "pruned",
    ] not in listed


def test_tables_of_every_epoch_are_as_before(six, shortened):
    before, after = open_run("demo", six.root), open_run("demo", shortened.root)
    pd.testing.assert_frame_equal(after.assignments(), before.assignments())
    pd.testing.assert_frame_equal(after.history(), before.history())
    pd.testing.assert_frame_equal(after.nmi(), before.nmi())
    assert after.nmi(1, 6) == before.nmi(1, 6)
    for epoch in (1, 4):
        pd.testing.assert_frame_equal(after.clusters(epoch), before.clusters(epoch))
        pd.testing.assert_frame_equal(after.transitions(epoch, 5), before.transitions(epoch, 5))
        pd.testing.assert_frame_equal(after.pseudolabels(epoch), before.pseudolabels(epoch))
        assert (after.centroids(epoch) == before.centroids(epoch)).all()


def test_what_is_gone_is_refused_and_said_to_be_pruned(shortened):
    run = open_run("demo", shortened.root)
    asked = {
        "features.zarr": (run.features, "5, 6"),
        "whitened.zarr": (run.whitened, "5, 6"),
        "steps.parquet": (run.steps, "5, 6"),
        "checkpoint.pt": (run.model, "0, 4 to 6"),
    }
    for name, (ask, having) in asked.items():
        with pytest.raises(Refusal, match=rf"epoch 2 of run demo is pruned and keeps no .*{name}.* {having}$"):
            ask(2)
    assert run.model(4) is not None
    assert run.features(5).shape[0] == 40


def test_a_branch_starts_from_a_checkpoint_and_is_refused_without_one(pruned_copy):
    with pytest.raises(Refusal, match=r"epoch 2 of run demo is pruned and has no checkpoint\.pt; .* 0, 4 to 6$"):
        branch(pruned_copy.root, "demo@2", "b", [], None)
    assert not pruned_copy.run_path("", "b").exists()
    made = branch(pruned_copy.root, "demo@4", "b", ["train.lr=0.01"], 7)
    assert made.retain == RetainParams(last=2)
    pruned_copy.run("b")
    # Its own first epoch was made from the one that it branched from.
    assert [files(pruned_copy, epoch, "b") == SMALL_FILES | {"checkpoint.pt"} for epoch in (5, 6)] == [True, False]
    deps = yaml.safe_load(pruned_copy.run_path("epochs/0005/dvc.yaml", "b").read_text())["stages"]["pruned"]["deps"]
    assert set(deps[1:]) == {"../0004/checkpoint.pt", "../0004/assignments.parquet"}
    assert "nothing to do" in pruned_copy.run("b")
    assert_clean(pruned_copy)


def test_a_stage_of_a_pruned_epoch_cannot_be_run_again(pruned_copy, cli):
    told = cli.refused(pruned_copy.root, "rerun", "cluster", "--epoch", "2")
    assert "epoch 2 of run demo is pruned" in told
    assert cli(pruned_copy.root, "rerun", "cluster", "--epoch", "5").status == 0
    assert_clean(pruned_copy)


def test_verify_hashes_what_is_kept(pruned_copy, cli):
    ended = cli(pruned_copy.root, "verify")
    assert (ended.status, "0 differ" in ended.out) == (0, True)
    # Pruned and a checkpoint, whole; the data set, resolve and init, final, weights, baseline and export, figures,
    # tables.
    assert f"{6 * 4 + 1 + 10 * 2 + 5 + 2 + 6 + 4 + 1 + 1} artifacts hashed" in ended.out
    flip_byte(pruned_copy.run_path("epochs/0002/centroids.npy"))
    flip_byte(pruned_copy.run_path("epochs/0004/checkpoint.pt"))
    ended = cli(pruned_copy.root, "verify")
    assert ended.status == 1
    assert "0002/centroids.npy differs: its epoch is pruned, so no stage makes it; `dvc checkout" in ended.out
    assert "0004/checkpoint.pt differs: its epoch is pruned, so no stage makes it; copy it" in ended.out


def test_pictures_of_pruned_epochs_are_replaced_by_no_others(pruned_copy, cli):
    before = pruned_copy.tree()
    line = cli.refused(pruned_copy.root, "run", "--set", "datasets.demo.size=80", "--yes")
    assert "datasets.demo.size has changed" in line and "are pruned (1 to 4)" in line
    assert "`python -m pipeline run --run NAME --images " in line
    assert pruned_copy.tree() == before
    pruned_copy.edit({"datasets": {"demo": {"size": 80}}})
    line = cli.refused(pruned_copy.root, "rerun", "pack", "--dataset", "demo")
    assert " and lost, being pruned)" in line
