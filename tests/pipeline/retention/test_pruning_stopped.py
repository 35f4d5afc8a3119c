"""pipeline/retention/pruning.py: damage, and kills between the steps of pruning."""

from __future__ import annotations

import pytest
from pipeline_helpers import flip_byte, params_of
from projects import tree
from retention_helpers import WHOLE, assert_clean, everything, files, prune, stages_of, states, values

from pipeline.recording import recorder as recording
from pipeline.recording.inspector import nodes_on_disk
from pipeline.recording.recorder import Recorder
from pipeline.retention import pruning
from pipeline.retention.pruning import Retention
from stages import pruned
from stages.errors import Refusal
from stages.parameters.retain import RetainParams


def test_a_file_that_differs_from_its_record_is_not_pruned_over(whole):
    params = params_of(whole.root)
    flip_byte(whole.run_path("epochs/0002/pseudolabels.parquet"))
    before = everything(whole)
    recorder = Recorder(whole.root)
    kept = Retention(whole.root, params.model_copy(update={"retain": RetainParams(last=1)}), recorder)
    for node in nodes_on_disk(whole.root, params):
        if node.epoch and node.epoch <= 3:
            kept.passed(node)
    with pytest.raises(Refusal, match=r"epochs/0002/pseudolabels\.parquet is not what was recorded"):
        kept.settle()
    recorder.close()
    assert {
        name for name, content in everything(whole).items() if before[name] != content and "/data/" in name
    } == set()
    assert stages_of(whole, 2) != {"pruned"}


STEPS = ["dvc.yaml", "record", "entry", "delete"]


@pytest.mark.parametrize(("step", "go_on"), list(zip(STEPS, ["run", "prune"] * 2, strict=True)))
def test_a_kill_between_any_two_steps_is_gone_on_from(whole, shortened, monkeypatch, step, go_on):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    target = {
        "dvc.yaml": (Recorder, "record_guard"),
        "record": (recording, "keep_entry"),
        "entry": (Retention, "_delete"),
        "delete": (pruning, "remove"),
    }[step]
    whole.edit({"retain": {"last": 2}})
    with monkeypatch.context() as context:
        context.setattr(*target, die)
        with pytest.raises(Killed):
            prune(whole)
    large = {name for epoch in (3, 4) for name in files(whole, epoch)}
    assert large == WHOLE
    # Whatever was stopped, nothing has become stale for us.
    assert set(states(whole).values()) == {"done"}
    if go_on == "run":
        assert "nothing to do" in whole.run()
    else:
        prune(whole)
    assert tree(whole.path("data")).keys() == tree(shortened.path("data")).keys()
    assert_clean(whole)


def test_a_half_pruned_epoch_is_told_by_status_and_refused_by_its_guard(whole, monkeypatch, cli):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "record_guard", die)
    with pytest.raises(KeyboardInterrupt):
        prune(whole, "retain.last=2")
    assert "epoch 4 is pruned by half: `python -m pipeline prune --run demo`" in cli(whole.root, "status").out
    assert "prune --run demo` goes on" in pruned.reason(whole.root, "demo", 4, values(whole))


def test_a_guards_lock_cut_short_is_restored(pruned_copy):
    lock = pruned_copy.run_path("epochs/0002/dvc.lock")
    whole = lock.read_bytes()
    lock.write_bytes(whole[:100])
    assert set(states(pruned_copy).values()) == {"done"}
    assert "nothing to do" in pruned_copy.run()
    assert lock.read_bytes() == whole
