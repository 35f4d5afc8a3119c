"""pipeline/retention/pruning.py: a run prunes as it goes on, and goes on when it is pruned."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pipeline_helpers import node_of, params_of, unlink
from projects import small_project, tree
from retention_helpers import SIX, SMALL_FILES, assert_clean, everything, files, guard_of, prune

from pipeline.preparing import Request, prepare
from pipeline.recording.recorder import Recorder
from stages.errors import Refusal


def test_a_run_prunes_as_it_goes_on_and_gives_the_same_bytes(six, tmp_path, monkeypatch):
    most = []
    true = Recorder.record

    def watched(self, node):
        true(self, node)
        held = list(self.root.glob("data/runs/demo/epochs/*/features.zarr"))
        most.append(len(held))

    monkeypatch.setattr(Recorder, "record", watched)
    project = small_project(tmp_path / "project", SIX | {"retain": {"last": 2}}, plan=False)
    told = project.run()
    # Two finished ones, and the one that is being computed.
    assert max(most) == 3
    assert "the last 2 stay whole" in told
    assert "run demo: 4 epochs pruned (1 to 4)" in told
    ours, theirs = tree(project.path("data")), tree(six.path("data"))
    assert [files(project, epoch) - SMALL_FILES for epoch in (3, 4)] == [set(), {"checkpoint.pt"}]
    assert {name for name in ours if ours[name] != theirs[name]} == set()
    assert_clean(project)


@pytest.mark.parametrize("left", ["that of six stages", None, "stages: ["])
def test_a_guard_that_git_took_back_is_written_again(six, pruned_copy, left):
    paths = [f"data/runs/demo/epochs/{epoch:04d}/dvc.yaml" for epoch in (1, 3)]
    before = [guard_of(pruned_copy, epoch) for epoch in (1, 3)]
    for name in paths:
        if left is None:
            pruned_copy.path(name).unlink()
        else:
            text = left if left.startswith("stages") else six.path(name).read_text()
            pruned_copy.path(name).write_text(text)
    assert "nothing to do" in pruned_copy.run()
    assert_clean(pruned_copy)
    for guard, old in zip([guard_of(pruned_copy, epoch) for epoch in (1, 3)], before, strict=True):
        (found,), (keys,) = guard.pop("params"), old.pop("params")
        # The record has the keys in another order.
        assert {path: set(names) for path, names in found.items()} == {path: set(names) for path, names in keys.items()}
        assert guard == old


def test_more_epochs_are_added_to_a_pruned_run_and_fewer_are_refused(pruned_copy):
    plans = {epoch: pruned_copy.run_path(f"epochs/{epoch:04d}/dvc.yaml").read_bytes() for epoch in (1, 2, 3)}
    told = pruned_copy.run(epochs=7)
    assert "1 of 7 epochs to compute" in told
    assert [len(files(pruned_copy, epoch)) for epoch in range(1, 8)] == [6, 6, 6, 6, 7, 10, 10]
    assert plans == {e: pruned_copy.run_path(f"epochs/{e:04d}/dvc.yaml").read_bytes() for e in plans}
    assert_clean(pruned_copy)
    with pytest.raises(Refusal, match="fewer than the 7 recorded"):
        pruned_copy.run(epochs=5)


def test_a_changed_parameter_stops_a_run_before_any_work_and_names_branch(pruned_copy, cli):
    before = everything(pruned_copy)
    told = cli.refused(pruned_copy.root, "run", "--set", "train.lr=0.3", "--yes")
    assert "epoch 1 of run demo is pruned and was made with train.lr 0.02, not 0.3" in told
    assert "branch --from demo@6 --run NAME --set train.lr=0.3" in told and "0, 4 to 6" in told
    longer = cli.refused(pruned_copy.root, "run", "--epochs", "9", "--set", "train.lr=0.3")
    assert "branch --from demo@6 --run NAME --epochs 9 --set train.lr=0.3" in longer
    assert everything(pruned_copy) == before
    for change in ("cluster.k=5", "seed=1", "model.sobel=false"):
        key = change.split("=")[0]
        with pytest.raises(Refusal, match=rf"epoch 1 of run demo is pruned and was made with {key} "):
            prepare(pruned_copy.root, Request("demo", sets=[change]))
    # prune itself must not make what differs the record.
    pruned_copy.edit({"train": {"lr": 0.3}})
    with pytest.raises(Refusal, match=r"train\.lr"):
        prune(pruned_copy, "retain.last=1")
    assert len(files(pruned_copy, 5)) == 10


def test_resolve_stops_dvc_before_a_pruned_epoch_would_be_mixed(pruned_copy):
    from stages.resolve import resolve as stage
    from stages.runtime.runner import execute, run_job

    before = pruned_copy.run_path("params.yaml").read_bytes()
    pruned_copy.edit({"cluster": {"k": 5}})
    params = params_of(pruned_copy.root)
    job = run_job(pruned_copy.root, node_of(params, "demo:resolve"), params, SimpleNamespace())
    with pytest.raises(Refusal, match=r"epoch 1 of run demo is pruned and was made with cluster\.k 4, not 5"):
        execute(stage, job, params)
    assert pruned_copy.run_path("params.yaml").read_bytes() == before


@pytest.mark.parametrize("change", ["threads=1", "workers=0", "train.horizon=99", "retain.every=5"])
def test_an_unrelated_key_reruns_nothing(pruned_copy, change):
    prepared = prepare(pruned_copy.root, Request("demo", sets=[change]))
    assert {status.node.stage for status in prepared.states if status.state != "done"} <= {"resolve"}


def test_the_initialised_network_is_made_again_where_it_is_missing(pruned_copy):
    unlink(pruned_copy.run_path("epochs/0000/checkpoint.pt"))
    with pytest.raises(Refusal, match=r"recorded epochs of run demo \(5, 6, "):
        pruned_copy.run()
    assert "1 stage run" in pruned_copy.run(yes=True)
    assert_clean(pruned_copy)


def test_a_missing_checkpoint_stops_a_run_in_a_line(pruned_copy):
    unlink(pruned_copy.run_path("epochs/0004/checkpoint.pt"))
    with pytest.raises(Refusal, match=r"0004/checkpoint\.pt is missing, which epoch 5 starts from: .*copy it"):
        pruned_copy.run(epochs=7)
