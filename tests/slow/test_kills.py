"""A run that is killed goes on with the same command and ends in the bytes of one that was not."""

import os
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from projects import Project, small_project, tree
from slow_helpers import (
    Held,
    assert_refused,
    assert_same,
    copied,
    dvc_status,
    eager,
    forget,
    pipeline_status,
    stages_run,
)

pytestmark = pytest.mark.slow

RUN = ("python", "-m", "pipeline", "run")
REPRO = ("dvc", "repro")

# Where each stage is stopped: after part of its work has reached the disk, before it has published.
MIDDLE = {
    "pack": ("images/demo/.partial-pack/parts/000001.json", 0),
    "extract": ("epochs/0002/.partial-extract/features.zarr/c.1.0", 0),
    "whiten": ("epochs/0002/.partial-whiten/whitened.zarr/c.1.0", 0),
    "cluster": ("epochs/0002/.partial-cluster/assignments.parquet", 0),
    "pseudolabel": ("epochs/0002/.partial-pseudolabel/pseudolabels.parquet", 0),
    "train": ("epochs/0002/.partial-train/savepoint.pt", 2),
    "checkpoint": ("epochs/0002/.partial-checkpoint/metrics.json", 0),
}
# Between the renames of two outputs: the first has its final name and the stage is not recorded.
BETWEEN = {
    "pack, half published": ("data/images/demo/manifest.parquet", 0),
    "whiten, half published": ("epochs/0002/pca.npz", 0),
    "cluster, half published": ("epochs/0002/centroids.npy", 0),
    "checkpoint, half published": ("epochs/0002/checkpoint.pt", 0),
}
POINTS = MIDDLE | BETWEEN


@dataclass
class Scene:
    """What lies there right after a kill."""

    outputs: list[str]
    recorded: bool
    state: str
    dvc: set[str]


def folder_of(point: str) -> str:
    return "data/images/demo" if point.startswith("pack") else "data/runs/demo/epochs/0002"


def scene(project: Project, point: str, *, ask_dvc: bool) -> Scene:
    stage, folder = point.partition(",")[0], folder_of(point)
    content = yaml.safe_load((project.path(folder) / "dvc.yaml").read_text())["stages"][stage]
    outs = [out if isinstance(out, str) else next(iter(out)) for out in content.get("outs", [])]
    outs += content.get("metrics", [])
    lock = project.path(folder) / "dvc.lock"
    recorded = lock.exists() and stage in yaml.safe_load(lock.read_text())["stages"]
    return Scene(
        [name for name in outs if (project.path(folder) / name).exists()],
        recorded,
        pipeline_status(project).get(f"{folder}:{stage}", "done"),
        dvc_status(project) if ask_dvc else set(),
    )


@dataclass
class Killed:
    """A project after a kill at each point in turn, and what was seen after each."""

    project: Project
    scenes: dict[str, Scene]
    stages: list[str]


def killed_at_every_point(project: Project, command: tuple[str, ...], points: dict[str, tuple[str, int]]) -> Killed:
    scenes = {}
    before = stages_run(project)
    for point, (at, skip) in points.items():
        with Held(project, *command, at=at, skip=skip) as held:
            held.kill()
        scenes[point] = scene(project, point, ask_dvc=command == REPRO)
    done = project.command(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return Killed(project, scenes, stages_run(project)[len(before) :])


def in_order(points: dict[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """In the order in which a run reaches them."""
    order = list(MIDDLE)
    return dict(sorted(points.items(), key=lambda item: (order.index(item[0].partition(",")[0]), "," in item[0])))


@pytest.fixture(scope="module")
def by_pipeline(tmp_path_factory) -> Killed:
    """`pipeline run` of a new clone, killed in pack and in each stage of epoch 2."""
    project = eager(small_project(tmp_path_factory.mktemp("kills") / "project"))
    return killed_at_every_point(project, RUN, in_order(POINTS))


@pytest.fixture(scope="module")
def by_dvc(finished, tmp_path_factory) -> Killed:
    """`dvc repro` of what `pipeline run` had begun, killed in pack and in each stage of epoch 2."""
    project = eager(copied(finished, tmp_path_factory.mktemp("kills")))
    forget(project, "epochs/0002", "final")
    forget(project, "../../images/demo")
    return killed_at_every_point(project, REPRO, in_order(MIDDLE))


@pytest.mark.parametrize("way", ["by_pipeline", "by_dvc"])
def test_a_run_killed_in_every_stage_ends_in_the_same_bytes(way, finished, request):
    assert_same(request.getfixturevalue(way).project.tree(), finished.tree())


@pytest.mark.parametrize("way", ["by_pipeline", "by_dvc"])
def test_what_was_done_before_a_kill_is_not_done_again(way, request):
    """Each stage of epoch 2 and after has ended once, however often the run was killed."""
    killed = request.getfixturevalue(way)
    counts = Counter(name for name in killed.stages if name.startswith(("2:", "final:")))
    assert set(counts) == {f"2:{stage}" for stage in MIDDLE if stage != "pack"} | {
        "final:extract",
        "final:whiten",
        "final:cluster",
    }
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("way", ["by_pipeline", "by_dvc"])
@pytest.mark.parametrize("stage", MIDDLE)
def test_a_killed_stage_leaves_nothing_that_looks_finished(way, stage, request):
    found = request.getfixturevalue(way).scenes[stage]
    assert found.outputs == []
    assert not found.recorded
    assert found.state == "missing"
    if way == "by_dvc":
        assert f"{folder_of(stage)}:{stage}" in found.dvc


@pytest.mark.parametrize("point", BETWEEN)
def test_a_stage_killed_while_publishing_is_not_recorded(point, by_pipeline):
    """The lock is the truth: an output under its final name counts for nothing without it."""
    found = by_pipeline.scenes[point]
    assert len(found.outputs) >= 1
    assert not found.recorded
    assert found.state == "missing"


def test_training_goes_on_from_its_save_point(by_pipeline, by_dvc):
    for killed in (by_pipeline, by_dvc):
        log = killed.project.run_path("log.txt").read_text()
        # Three save points of one step each lay there: two passed by, and the one that held it.
        assert "epoch 2 train: goes on at iteration 3 of 6" in log


def test_ctrl_c_tells_one_line_and_the_same_command_goes_on(finished, tmp_path):
    project = copied(finished, tmp_path)
    forget(project, "epochs/0002", "final")
    eager(project)
    with Held(project, *RUN, at="epochs/0002/.partial-train/savepoint.pt", skip=1) as held:
        status, _, err = held.interrupt()
    assert (status, err.strip()) == (130, "stopped; the same command goes on")
    assert pipeline_status(project)["data/runs/demo/epochs/0002:train"] == "missing"
    assert project.pipeline("run").returncode == 0
    assert_same(project.tree(), finished.tree())


@pytest.fixture
def begun(finished: Project, tmp_path: Path) -> Project:
    """A run that has its epochs, and the clustering of the finished network to do."""
    project = copied(finished, tmp_path)
    forget(project, "final")
    return project


BEGINNING = "final/.partial-extract/features.zarr/c.1.0"


def in_use(pid: int) -> str:
    return f"run demo in use by host {socket.gethostname()}, pid {pid}, since "


def test_of_two_runs_at_once_the_second_is_refused_and_each_stage_runs_once(begun, finished):
    before = stages_run(begun)
    with Held(begun, *RUN, at=BEGINNING) as first:
        while_running = tree(begun.path("data"))
        second = begun.command(*RUN)
        assert_refused(second, in_use(first.pid))
        third = begun.command("dvc", "repro")
        assert third.returncode != 0
        assert in_use(first.pid) in third.stderr + third.stdout
        assert_same(tree(begun.path("data")), while_running)
        status, _, err = first.release()
    assert status == 0, err
    ran = Counter(stages_run(begun)[len(before) :])
    assert set(ran.values()) == {1}
    assert set(ran) == {"final:extract", "final:whiten", "final:cluster"}
    assert_same(begun.tree(), finished.tree())


def test_a_repro_killed_and_restarted_while_its_stage_lives_on_is_refused(begun, finished):
    with Held(begun, *REPRO, at=BEGINNING) as first:
        assert first.pid != first.process.pid
        os.kill(first.process.pid, 9)
        first.process.wait()
        again = begun.command(*REPRO)
        assert again.returncode != 0
        assert in_use(first.pid) in again.stdout + again.stderr
        first.mark.unlink()
        # The stage that was left alone ends and publishes; its pipes close with it.
        first.process.communicate(timeout=300)
    done = begun.command(*REPRO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dvc_status(begun) == set() and pipeline_status(begun) == {}
    assert_same(begun.tree(), finished.tree())


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_a_lock_cut_short_by_a_kill_costs_no_question_and_no_byte(begun, finished, share):
    """DVC rewrites dvc.lock in place; what is left of it may even be valid YAML."""
    lock = begun.run_path("epochs/0002/dvc.lock")
    whole = lock.read_bytes()
    lock.write_bytes(whole[: int(len(whole) * share)])
    begun.run()
    assert yaml.safe_load(lock.read_text()) == yaml.safe_load(whole)
    assert_same(begun.tree(), finished.tree())


def test_a_stage_alone_is_killed_and_goes_on(begun, finished):
    """`python -m stages.NAME FOLDER` publishes as it does under DVC."""
    command = ("python", "-m", "stages.extract", "data/runs/demo/final")
    with Held(begun, *command, at=BEGINNING) as held:
        held.kill()
    assert not begun.run_path("final/features.zarr").exists()
    first = begun.run_path("final/.partial-extract/features.zarr/c.0.0")
    inode = first.stat().st_ino
    assert begun.command(*command).returncode == 0
    # A chunk that was whole is kept, not computed again.
    assert begun.run_path("final/features.zarr/c.0.0").stat().st_ino == inode
    name = "final/features.zarr"
    assert_same(tree(begun.run_path(name)), tree(finished.run_path(name)))
