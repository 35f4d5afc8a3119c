"""A run that was stopped in an epoch: DVC's own commands beside it, what can be used of it, and how it is ended."""

import json

import pytest
import yaml
from projects import Project
from slow_helpers import Held, assert_same, commit, copied, dvc_status, pipeline_status, stages_run

pytestmark = pytest.mark.slow

RUN = "data/runs/long"


@pytest.fixture(scope="module")
def stopped(finished, tmp_path_factory) -> Project:
    """Beside the finished demo, a run of 500 epochs that was stopped in the training of its second."""
    project = copied(finished, tmp_path_factory.mktemp("stopped"))
    project.edit({"runs": {"long": {"epochs": 500}}})
    with Held(project, "python", "-m", "pipeline", "run", "--run", "long", at="0002/pseudolabels.parquet") as held:
        status, _, told = held.interrupt()
    assert status == 130 and told == "stopped; the same command goes on\n"
    commit(project)
    return project


def planned(project: Project) -> dict[str, list[str]]:
    """By folder of the run, the stages that its dvc.yaml holds."""
    folder = project.path(RUN)
    return {
        str(path.parent.relative_to(folder)): list(yaml.safe_load(path.read_text())["stages"])
        for path in sorted(folder.rglob("dvc.yaml"))
    }


def test_only_what_is_made_is_planned(stopped):
    assert planned(stopped) == {
        ".": ["resolve", "init", "unfinished"],
        "epochs/0001": ["extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint"],
        "epochs/0002": ["extract", "whiten", "cluster"],
    }


@pytest.mark.parametrize(
    "words",
    [
        ("checkout",),
        ("metrics", "show"),
        ("metrics", "diff"),
        ("plots", "show"),
        ("dag", "data/runs/demo/dvc.yaml:export"),
    ],
    ids=lambda words: words[0] + words[-1],
)
def test_dvcs_own_commands_work_beside_it(stopped, words):
    done = stopped.command("dvc", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_experiment_is_saved_and_applied_beside_it(stopped, tmp_path):
    project = copied(stopped, tmp_path)
    for words in (("exp", "save", "--name", "kept"), ("exp", "apply", "kept")):
        done = project.command("dvc", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_dvc_status_is_short_and_only_of_it(stopped):
    assert dvc_status(stopped) == {f"{RUN}:unfinished"}


def test_dvc_repro_of_it_ends_with_one_line_that_helps(stopped, tmp_path):
    project = copied(stopped, tmp_path)
    done = project.command("dvc", "repro", f"{RUN}/dvc.yaml")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("unfinished:")]
    assert said == [
        "unfinished: run long is not finished, 1 of 500 epochs are whole: `python -m pipeline run --run long` goes on; "
        "for `dvc repro`, `python -m pipeline plan --run long` first"
    ]
    # Nothing else is stopped by it.
    assert project.command("dvc", "repro").returncode == 0
    # The advice, tried: everything is planned, and what is recorded stays.
    assert project.pipeline("plan", "--run", "long", "--epochs", "2").returncode == 0
    assert "unfinished" not in planned(project)["."]
    before = stages_run(project, "long")
    repro = project.command("dvc", "repro", f"{RUN}/dvc.yaml")
    assert repro.returncode == 0, repro.stderr
    made = stages_run(project, "long")[len(before) :]
    assert made[:4] == [":resolve", "2:pseudolabel", "2:train", "2:checkpoint"]
    assert pipeline_status(project, "long") == {}


def test_going_on_gives_what_a_run_that_was_never_stopped_gives(stopped, finished, tmp_path):
    project = copied(stopped, tmp_path)
    done = project.pipeline("run", "--run", "long", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    whole = copied(finished, tmp_path / "whole")
    whole.edit({"runs": {"long": {"epochs": 2}}})
    whole.run("long")

    def of_run(project: Project) -> dict[str, bytes]:
        return {name: content for name, content in project.tree().items() if name.startswith("runs/long/")}

    assert_same(of_run(project), of_run(whole))
    assert planned(project) == planned(whole)
    for folder in planned(whole):
        assert (
            project.path(f"{RUN}/{folder}/dvc.yaml").read_bytes() == whole.path(f"{RUN}/{folder}/dvc.yaml").read_bytes()
        )
    assert dvc_status(project) == set() and pipeline_status(project, "long") == {}


def test_it_can_be_ended_before_the_epoch_that_is_begun(stopped, tmp_path):
    project = copied(stopped, tmp_path)
    begun = {
        path.name: path.read_bytes()
        for path in project.path(f"{RUN}/epochs/0002").iterdir()
        if path.name in ("pca.npz", "centroids.npy", "assignments.parquet", "clustering.json")
    }
    before = stages_run(project, "long")
    done = project.pipeline("run", "--run", "long", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert (
        "epoch 2 of run long was begun and is dropped; what it was clustered by (extract, whiten, cluster) is final/'s"
        in (done.stdout)
    )
    # Nothing is clustered again: the bytes are those of the epoch that was begun.
    assert stages_run(project, "long")[len(before) :] == [":resolve", ":weights", ":baseline", ":export", ":figures"]
    assert {name: project.path(f"{RUN}/final/{name}").read_bytes() for name in begun} == begun
    assert not project.path(f"{RUN}/epochs/0002").exists()
    assert json.loads(project.path(f"{RUN}/summary.json").read_text())["epochs"] == 1
    assert pipeline_status(project, "long") == {} and dvc_status(project) == set()
    verified = project.pipeline("verify", "--run", "long")
    assert verified.returncode == 0, verified.stdout
    # A run that was planned with one epoch gives the same.
    again = project.pipeline("rerun", "cluster", "--run", "long", "--epoch", "final")
    assert again.returncode == 0
    assert {name: project.path(f"{RUN}/final/{name}").read_bytes() for name in begun} == begun


def test_fewer_epochs_than_are_whole_is_refused(stopped):
    done = stopped.pipeline("run", "--run", "long", "--epochs", "0")
    assert done.returncode == 1 and "is fewer than the 1 recorded for run long" in done.stderr


def test_status_says_of_epochs_to_come_in_one_line(stopped):
    told = stopped.pipeline("status", "--run", "long").stdout.splitlines()
    assert len(told) < 12
    (line,) = [line for line in told if "0003 to 0500" in line]
    assert line.count("missing") == 6


def test_a_finished_run_is_ended_before_an_epoch_that_had_just_begun(finished, tmp_path):
    project = copied(finished, tmp_path)
    before = project.tree()
    with Held(project, "python", "-m", "pipeline", "run", "--epochs", "3", at="0003/pca.npz") as held:
        held.kill()
    done = project.pipeline("run", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert "epoch 3 of run demo was begun and is dropped\n" in done.stdout
    # final/ is of these epochs still.
    assert_same(project.tree(), before)
    assert pipeline_status(project) == {} and dvc_status(project) == set()
