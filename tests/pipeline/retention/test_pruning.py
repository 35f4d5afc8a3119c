"""pipeline/retention/pruning.py: old epochs without their large artifacts, and a guard that stands for each."""

from __future__ import annotations

import re

import pytest
import yaml
from pipeline_helpers import unlink
from projects import Project, small_project, tree
from retention_helpers import LARGE_FILES, SIX, SMALL_FILES, WHOLE, assert_clean, files, guard_of, prune, stages_of

from pipeline import open_run
from pipeline.branch import branch
from pipeline.preparing import Request, prepare
from stages.dag.names import PREVIOUS_LOCK
from stages.errors import Refusal


def test_old_epochs_lose_what_is_large_and_everything_else_is_as_it_was(six, shortened):
    assert [files(shortened, epoch) for epoch in range(1, 7)] == [
        SMALL_FILES,
        SMALL_FILES,
        SMALL_FILES,
        SMALL_FILES | {"checkpoint.pt"},
        WHOLE,
        WHOLE,
    ]
    before, after = tree(six.path("data")), tree(shortened.path("data"))
    assert {name for name in after if before[name] != after[name]} == set()
    assert [stages_of(shortened, epoch) == {"pruned"} for epoch in range(1, 7)] == [True] * 4 + [False] * 2
    assert_clean(shortened)
    assert "run demo: nothing to do, all stages are up to date" in shortened.run().splitlines()


def test_the_guard_owns_what_is_kept_as_it_was_owned(shortened):
    guard = guard_of(shortened, 4)
    outs = {name: flags for out in guard["outs"] for name, flags in out.items()}
    kept = {name: {"persist": True} for name in SMALL_FILES}
    assert outs == kept | {"checkpoint.pt": {"cache": False, "persist": True}}
    lock = yaml.safe_load(shortened.run_path("epochs/0004/dvc.lock").read_text())
    assert set(lock["stages"]) == {"pruned"}
    assert shortened.run_path(f"epochs/0004/{PREVIOUS_LOCK}").read_bytes() == (
        shortened.run_path("epochs/0004/dvc.lock").read_bytes()
    )


def test_the_guard_depends_on_all_that_any_stage_of_the_six_depended_on(six, shortened):
    recorded = six.run_path("epochs/0004/dvc.yaml"), six.run_path("dvc.yaml")
    keys = set()
    for stage in yaml.safe_load(recorded[0].read_text())["stages"].values():
        keys |= set(stage["params"][0]["../../params.yaml"])
    keys |= set(yaml.safe_load(recorded[1].read_text())["stages"]["init"]["params"][0]["params.yaml"])
    assert set(guard_of(shortened, 4)["params"][0]["../../params.yaml"]) == keys
    assert guard_of(shortened, 4)["deps"] == ["../../../../images/demo/pack.json", "../0003/assignments.parquet"]
    # The initialised network is always there.
    assert "../0000/checkpoint.pt" in guard_of(shortened, 1)["deps"]


def test_every_makes_islands_and_each_keeps_the_checkpoint_before_it(whole):
    freed = prune(whole, "retain.last=1", "retain.every=3")
    assert freed.epochs == [5, 4, 2, 1]
    assert [files(whole, epoch) - SMALL_FILES for epoch in range(1, 7)] == [
        set(),
        {"checkpoint.pt"},
        LARGE_FILES | {"checkpoint.pt"},
        set(),
        {"checkpoint.pt"},
        LARGE_FILES | {"checkpoint.pt"},
    ]
    # 4 was made from an epoch that is whole: should that one change, 4 must not stay silent.
    assert "../0003/checkpoint.pt" in guard_of(whole, 4)["deps"]
    assert_clean(whole)
    whole.edit({"retain": {"every": 0}, "runs": {"demo": {"retain": {"every": 0}}}})
    assert prune(whole).epochs == [3]
    assert [files(whole, epoch) == SMALL_FILES for epoch in range(1, 7)] == [True, True, True, True, False, False]
    assert "../0003/checkpoint.pt" not in guard_of(whole, 4)["deps"]
    assert_clean(whole)


def test_a_looser_policy_brings_nothing_back_and_asks_for_nothing(pruned_copy):
    assert prune(pruned_copy, "retain.last=all").epochs == []
    assert files(pruned_copy, 3) == SMALL_FILES
    assert_clean(pruned_copy)


def test_dry_run_tells_what_would_go_and_changes_nothing(whole, cli):
    before = whole.tree(), whole.path("params.yaml").read_bytes()
    told = prune(whole, "retain.last=2", dry=True)
    assert (whole.tree(), whole.path("params.yaml").read_bytes()) == before
    assert told.epochs == [4, 3, 2, 1]
    size = disk(whole)
    done = prune(whole, "retain.last=2")
    assert done.epochs == told.epochs
    assert done.size == told.size == size - disk(whole) > 1_000_000
    ended = cli(whole.root, "prune", "--set", "retain.last=1", "--dry-run")
    assert re.fullmatch(r"run demo: 1 epoch would be pruned \(5\), [\d.]+ [kM]B\n", ended.out)


def disk(project: Project) -> int:
    """Bytes of artifacts below epochs/, a file of two names counted once."""
    found = {}
    for path in project.run_path("epochs").rglob("*"):
        if path.is_file() and "dvc." not in path.name:
            found[path.stat().st_ino] = path.stat().st_size
    return sum(found.values())


def test_a_checkpoint_that_a_branch_links_to_counts_as_nothing_freed(whole):
    alone = prune(whole, "retain.last=2", dry=True).size
    branch(whole.root, "demo@3", "b", [], None)
    linked = whole.run_path("epochs/0003/checkpoint.pt")
    assert prune(whole, "retain.last=2", dry=True).size == alone - linked.stat().st_size


def test_prune_takes_no_other_key(whole, cli):
    before = whole.path("params.yaml").read_bytes()
    assert "retain.last" in cli.refused(whole.root, "prune", "--set", "train.lr=0.5")
    assert "retain.last" in cli.refused(whole.root, "prune", "--set", "retain.last=0")
    assert "has not begun" in cli.refused(whole.root, "prune", "--run", "imagenet-vgg16")
    assert whole.path("params.yaml").read_bytes() == before


def test_unfinished_epochs_and_what_they_need_are_not_pruned(whole):
    # Epoch 6 is to be made again: 5 is the newest that is finished.
    unlink(whole.run_path("epochs/0006/dvc.lock"))
    assert prune(whole, "retain.last=1").epochs == [4, 3, 2, 1]
    assert files(whole, 5) == WHOLE
    whole.run()
    assert [len(files(whole, epoch)) for epoch in range(1, 7)] == [6, 6, 6, 6, 7, 10]
    assert_clean(whole)


def test_epochs_without_clustering_keep_what_they_read(tmp_path):
    change = SIX | {"epochs": 3, "retain": {"last": 1}, "cluster": {"k": 4, "every": 2}}
    project = small_project(tmp_path / "project", change, plan=False)
    project.run()
    assert [files(project, epoch) for epoch in (1, 2)] == [SMALL_FILES, {"metrics.json", "checkpoint.pt"}]
    assert "../0001/pseudolabels.parquet" in guard_of(project, 2)["deps"]
    assert_clean(project)
    assert "nothing to do" in project.run()
    with pytest.raises(Refusal, match=r"cluster\.every: epoch 2"):
        prepare(project.root, Request("demo", sets=["cluster.every=1"]))
    run = open_run("demo", project.root)
    assert list(run.assignments().columns) == [1, 3, "final"]
    with pytest.raises(Refusal, match="epoch 1 of run demo is pruned"):
        run.features(2)
