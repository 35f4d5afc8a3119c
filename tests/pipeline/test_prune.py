"""`retain` and `prune`: old epochs without their large artifacts, and a guard that stands for each."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from pipeline_helpers import changed, content_of, flip_byte, node_of, params_of, unlink
from projects import Project, small_project, tree

from pipeline import open_run
from pipeline.branch import branch
from pipeline.preparing import Request, prepare
from pipeline.recording import recorder as recording
from pipeline.recording.inspector import nodes_on_disk, of_run
from pipeline.recording.lock_files import PREVIOUS
from pipeline.recording.recorder import Recorder
from pipeline.retention import pruning
from pipeline.retention.policy import stays_whole
from pipeline.retention.pruning import Retention
from pipeline.retention.space import parameters, space
from stages import pruned
from stages.errors import Refusal
from stages.parameters.resolution import resolve
from stages.parameters.retain import RetainParams

SIX = {
    "epochs": 6,
    "datasets": {"demo": {"generate": {"images": 40}}},
    "model": {"width": 0.03125},
    "whiten": {"dim": 8},
    "cluster": {"k": 4},
    "train": {"batch": 16},
}
SMALL_FILES = {
    "assignments.parquet",
    "centroids.npy",
    "clustering.json",
    "metrics.json",
    "pca.npz",
    "pseudolabels.parquet",
}
LARGE_FILES = {"features.zarr", "whitened.zarr", "trained"}
WHOLE = SMALL_FILES | LARGE_FILES | {"checkpoint.pt"}


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Six epochs, all whole; read only."""
    project = small_project(tmp_path_factory.mktemp("six") / "project", SIX, plan=False)
    project.run()
    return project


@pytest.fixture
def whole(six: Project, tmp_path: Path) -> Project:
    return copy_of(six, tmp_path / "copy")


@pytest.fixture(scope="session")
def shortened(six: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The six, of which the last two are whole; read only."""
    project = copy_of(six, tmp_path_factory.mktemp("shortened") / "project")
    prune(project, "retain.last=2")
    return project


@pytest.fixture
def pruned_copy(shortened: Project, tmp_path: Path) -> Project:
    return copy_of(shortened, tmp_path / "copy")


def copy_of(project: Project, target: Path) -> Project:
    shutil.copytree(project.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)


def prune(project: Project, *sets: str, dry: bool = False) -> pruning.Freed:
    import io

    from pipeline.prune import prune as command
    from stages.runtime.report import Reporter

    return command(project.root, "demo", list(sets), dry, Reporter(stream=io.StringIO()))


def files(project: Project, epoch: int, run: str = "demo") -> set[str]:
    folder = project.run_path(f"epochs/{epoch:04d}", run)
    return {path.name for path in folder.iterdir() if "dvc." not in path.name}


def stages_of(project: Project, epoch: int) -> set[str]:
    return set(yaml.safe_load(project.run_path(f"epochs/{epoch:04d}/dvc.yaml").read_text())["stages"])


def guard_of(project: Project, epoch: int) -> dict:
    return yaml.safe_load(project.run_path(f"epochs/{epoch:04d}/dvc.yaml").read_text())["stages"]["pruned"]


def states(project: Project) -> dict[str, str]:
    found = of_run(project.root, params_of(project.root))
    return {status.node.id.removeprefix("data/runs/demo/"): status.state for status in found}


def assert_clean(project: Project) -> None:
    """Nothing to do for DVC, nor for us."""
    assert set(states(project).values()) == {"done"}
    recorder = Recorder(project.root)
    names = recorder._locked(lambda: {stage.addressing for stage in recorder.repo.index.stages if stage.changed()})
    recorder.close()
    assert names == set()


# ---------------------------------------------------------------- the policy


@pytest.mark.parametrize(
    ("last", "every", "newest", "expected"),
    [
        (None, 0, 9, range(1, 10)),
        (None, 3, 9, range(1, 10)),
        (1, 0, 9, [9]),
        (2, 0, 9, [8, 9]),
        (2, 4, 9, [4, 8, 9]),
        (3, 5, 9, [5, 7, 8, 9]),
        (20, 0, 9, range(1, 10)),
        (1, 1, 4, [1, 2, 3, 4]),
    ],
)
def test_the_newest_and_each_multiple_stay_whole(last, every, newest, expected):
    retain = RetainParams(last=last, every=every)
    assert [epoch for epoch in range(1, newest + 1) if stays_whole(retain, epoch, newest)] == list(expected)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"last": 0}, "retain.last: "),
        ({"last": "some"}, "retain.last: "),
        ({"every": -1}, "retain.every: "),
        ({"lats": 2}, "retain.lats: no such key; did you mean retain.last?"),
    ],
)
def test_a_wrong_policy_is_one_line(six, value, told):
    with pytest.raises(Refusal) as refused:
        resolve(changed(content_of(six.root), "runs.demo", {"retain": value}), "demo")
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_a_params_yaml_of_before_keeps_every_epoch(six):
    content = content_of(six.root)
    del content["retain"]
    assert resolve(content, "demo").retain.last is None


def test_the_runs_own_params_yaml_knows_no_retain(shortened):
    assert "retain" not in yaml.safe_load(shortened.run_path("params.yaml").read_text())


# ---------------------------------------------------------------- what goes and what stays


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
    assert shortened.run().splitlines()[-1] == "run demo: nothing to do, all stages are up to date"


def test_the_guard_owns_what_is_kept_as_it_was_owned(shortened):
    guard = guard_of(shortened, 4)
    outs = {name: flags for out in guard["outs"] + guard["metrics"] for name, flags in out.items()}
    kept = {name: {"persist": True} for name in SMALL_FILES}
    assert outs == kept | {"checkpoint.pt": {"cache": False, "persist": True}}
    assert [next(iter(out)) for out in guard["metrics"]] == ["metrics.json"]
    lock = yaml.safe_load(shortened.run_path("epochs/0004/dvc.lock").read_text())
    assert set(lock["stages"]) == {"pruned"}
    assert shortened.run_path(f"epochs/0004/{PREVIOUS}").read_bytes() == (
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
    assert ended.out == f"run demo: 1 epochs would be pruned (5), {0.0:.2f} GB\n"


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


# ---------------------------------------------------------------- while a run goes on


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


def everything(project: Project) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(project.root).parts)
    }


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


# ---------------------------------------------------------------- damage, and kills between the steps


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


# ---------------------------------------------------------------- what the guard says


def values(project: Project) -> dict:
    return yaml.safe_load(project.run_path("params.yaml").read_text())


def guarded(project: Project, epoch: int, monkeypatch, capsys) -> str:
    """What `python -m stages.pruned .` prints."""
    monkeypatch.setattr("sys.argv", ["pruned", str(project.run_path(f"epochs/{epoch:04d}"))])
    with pytest.raises(SystemExit) as ended:
        pruned.pruned()
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_the_guard_tells_a_changed_key_from_a_missing_checkpoint(pruned_copy, monkeypatch, capsys):
    assert "nothing asks for it" in guarded(pruned_copy, 4, monkeypatch, capsys)
    edited = values(pruned_copy)
    edited["train"]["lr"] = 0.5
    assert "train.lr 0.02, not 0.5: restore it in params.yaml" in pruned.reason(pruned_copy.root, "demo", 4, edited)
    edited = values(pruned_copy) | {"revision": values(pruned_copy)["revision"] | {"train": 99}}
    assert "not 99: go back to that code" in pruned.reason(pruned_copy.root, "demo", 4, edited)
    unlink(pruned_copy.run_path("epochs/0004/pca.npz"))
    assert "0004/pca.npz is missing: `dvc pull`" in guarded(pruned_copy, 4, monkeypatch, capsys)
    unlink(pruned_copy.run_path("epochs/0004/checkpoint.pt"))
    shutil.copy(pruned_copy.run_path("epochs/0003/pca.npz"), pruned_copy.run_path("epochs/0004/pca.npz"))
    told = guarded(pruned_copy, 4, monkeypatch, capsys)
    assert "checkpoint.pt is missing, which epoch 5 starts from" in told or "is not what it was made with" in told
    flip_byte(pruned_copy.path("data/images/demo/pack.json"))
    assert "data/images/demo/pack.json is not what it was made with" in guarded(pruned_copy, 3, monkeypatch, capsys)


def test_the_initialised_network_is_made_again_where_it_is_missing(pruned_copy):
    unlink(pruned_copy.run_path("epochs/0000/checkpoint.pt"))
    with pytest.raises(Refusal, match=r"recorded epochs of run demo \(5 to 6"):
        pruned_copy.run()
    assert "1 stages run" in pruned_copy.run(yes=True)
    assert_clean(pruned_copy)


def test_a_missing_checkpoint_stops_a_run_in_a_line(pruned_copy):
    unlink(pruned_copy.run_path("epochs/0004/checkpoint.pt"))
    with pytest.raises(Refusal, match=r"0004/checkpoint\.pt is missing, which epoch 5 starts from: .*copy it"):
        pruned_copy.run(epochs=7)


# ---------------------------------------------------------------- the other commands


def test_status_says_which_epochs_are_pruned(shortened, cli):
    ended = cli(shortened.root, "status")
    assert "epochs pruned: 1 to 4" in ended.out and "all done, 4 of them pruned" in ended.out
    listed = [line.split() for line in cli(shortened.root, "status", "--every").out.splitlines()]
    assert ["data/runs/demo/epochs/0004", "pruned"] in listed and ["data/runs/demo/epochs/0005", "pruned"] not in listed


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
    # Pruned and a checkpoint, whole; the data set, resolve and init, final, export, figures.
    assert f"{6 * 4 + 1 + 10 * 2 + 5 + 2 + 6 + 2 + 1} artifacts hashed" in ended.out
    flip_byte(pruned_copy.run_path("epochs/0002/centroids.npy"))
    flip_byte(pruned_copy.run_path("epochs/0004/checkpoint.pt"))
    ended = cli(pruned_copy.root, "verify")
    assert ended.status == 1
    assert "0002/centroids.npy differs: its epoch is pruned, so no stage makes it; `dvc checkout" in ended.out
    assert "0004/checkpoint.pt differs: its epoch is pruned, so no stage makes it; copy it" in ended.out


# ---------------------------------------------------------------- disk


def test_the_need_of_a_run_follows_its_policy(make_project, monkeypatch):
    project = make_project(change={"epochs": 8}, plan=False)
    content = content_of(project.root)

    def needed(retain) -> float:
        params = resolve(content | {"retain": retain}, "demo")
        return space(project.root, params, 170, of_run(project.root, params)).needed * 1e9

    params = resolve(content, "demo")
    trained = parameters(params) * 8
    epoch = 170 * (256 * 4 + 32 * 4) + trained
    everything = needed({"last": "all"})
    assert everything - needed({"last": 8}) == pytest.approx(0, abs=1)
    # Most lies there when epoch 8 has ended, with 5 to 7 and a checkpoint; final/ and the weights come after.
    small = 2 * (11 * 170 + 10 * 32 * 4 + 256 * 32 * 8)
    later = 170 * (256 * 4 + 32 * 4) + small + trained / 2
    assert everything - needed({"last": 3}) == pytest.approx(4 * epoch + later - trained, rel=1e-6)
    # The island 4, the checkpoint before it, that before 7, and 7 and 8.
    assert everything - needed({"last": 1, "every": 4}) == pytest.approx(5 * epoch + later - 2 * trained, rel=1e-6)


def test_what_a_pruned_run_goes_on_with_needs_one_epoch_and_no_more(shortened):
    params = params_of(shortened.root).model_copy(update={"epochs": 9})
    found = of_run(shortened.root, params)
    needed = space(shortened.root, params, 40, found).needed * 1e9
    one = 40 * (128 * 4 + 8 * 4) + parameters(params) * 8
    assert one < needed < 2 * one
