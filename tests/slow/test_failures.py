"""Stages that fail, inputs that change under a running stage, and what may and may not become one line."""

import os
from pathlib import Path

import pytest
from slow_helpers import (
    Held,
    assert_refused,
    assert_same,
    dvc_status,
    git_status,
    pipeline_status,
)

pytestmark = pytest.mark.slow

EPOCH = "data/runs/demo/epochs/0001"


@pytest.mark.parametrize("command", [("python", "-m", "pipeline", "run", "--yes"), ("dvc", "repro")])
def test_a_stage_whose_input_changes_while_it_runs_is_not_up_to_date(command, project):
    (project.path(EPOCH) / "pca.npz").unlink()
    with Held(project, *command, at="0001/.partial-whiten/whitened.zarr/c.1.0") as held:
        chunk = project.path(EPOCH) / "features.zarr/c.0.0"
        content = bytearray(chunk.read_bytes())
        content[0] ^= 1
        chunk.write_bytes(content)
        status, out, err = held.release()
    assert status != 0
    assert "an input changed while running" in out + err
    assert not (project.path(EPOCH) / "whitened.zarr").exists()
    states = pipeline_status(project)
    assert states[f"{EPOCH}:whiten"] == "failed"
    assert f"{EPOCH}:extract" in states
    assert {f"{EPOCH}:whiten", f"{EPOCH}:extract"} <= dvc_status(project)


def test_parameters_edited_while_a_stage_runs_leave_it_stale(project):
    """The run was asked for with the old value: what it then computes must not pass for the new one."""
    (project.path(EPOCH) / "trained/steps.parquet").unlink()
    command = ("python", "-m", "pipeline", "run", "--yes")
    with Held(project, *command, at="0001/.partial-train/trained/steps.parquet") as held:
        project.edit({"train": {"lr": 0.011}})
        held.release()
    assert pipeline_status(project)[f"{EPOCH}:train"] in ("stale", "failed")
    assert dvc_status(project) != set()


def test_a_stage_that_fails_under_dvc_leaves_git_with_locks_and_parameters_alone(project, one_epoch):
    project.edit({"train": {"lr": 1e30}})
    failed = project.command("dvc", "repro")
    assert failed.returncode != 0
    told = [line for line in failed.stderr.splitlines() if line.startswith("train: ")]
    assert len(told) == 1 and "the loss is" in told[0] and "--set train.lr" in told[0]
    assert "Traceback" not in failed.stderr
    assert {Path(name).name for name in git_status(project)} <= {"dvc.lock", "params.yaml"}
    assert pipeline_status(project)[f"{EPOCH}:train"] == "failed"
    shown = project.pipeline("status")
    assert f"{EPOCH}:train failed: " in shown.stdout
    assert f"{EPOCH}:train" in dvc_status(project)
    project.edit({"train": {"lr": 0.02}})
    done = project.command("dvc", "repro")
    assert done.returncode == 0, done.stderr
    assert_same(project.tree(), one_epoch.tree())
    assert pipeline_status(project) == {} and dvc_status(project) == set()


def test_a_refused_run_tells_one_line_and_no_traceback(project):
    before = project.path("params.yaml").read_bytes()
    done = project.pipeline("run", "--yes", "--set", "train.lr=1e30")
    assert_refused(done, "epoch 1 train: ", "the loss is", "--set train.lr")
    assert "Traceback" not in project.run_path("log.txt").read_text()
    assert project.path("params.yaml").read_bytes() != before
    debugged = project.pipeline("--debug", "run", "--yes")
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr and "Refusal" in debugged.stderr


# By force, or DVC takes the missing file out of its cache.
REPRO_IT = ("dvc", "repro", "--force", "--single-item", f"{EPOCH}/dvc.yaml:pseudolabel")


@pytest.mark.parametrize(
    "command",
    [("python", "-m", "pipeline", "run", "--yes"), ("python", "-m", "stages.pseudolabel", EPOCH), REPRO_IT],
)
def test_a_bug_keeps_its_traceback_on_the_terminal_and_in_the_log(command, project):
    source = project.path("stages/method/sampling.py")
    text = source.read_text()
    bug = "\n\ndef dense_labels(sizes):\n    raise RuntimeError('a bug of ours')\n"
    source.write_text(text + bug)
    (project.path(EPOCH) / "pseudolabels.parquet").unlink()
    done = project.command(*command)
    assert done.returncode != 0
    for told in (done.stderr, project.run_path("log.txt").read_text()):
        assert "Traceback" in told
        assert "RuntimeError: a bug of ours" in told
        assert "in dense_labels" in told
    assert pipeline_status(project)[f"{EPOCH}:pseudolabel"] == "failed"


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("name", ["data", "data/runs", "data/images/demo"])
def test_a_data_folder_that_is_a_link_is_refused_before_any_work(command, name, project, tmp_path):
    """DVC finds no dvc.yaml below a link, and would report that all is up to date."""
    elsewhere = tmp_path / "disk"
    os.rename(project.path(name), elsewhere)
    project.path(name).symlink_to(elsewhere)
    before = sorted(path for path in elsewhere.rglob("*"))
    params = project.path("params.yaml").read_bytes()
    done = project.pipeline(command, "--epochs", "3")
    assert_refused(done, f"{name} is a link", "mount --bind")
    assert sorted(path for path in elsewhere.rglob("*")) == before
    assert project.path("params.yaml").read_bytes() == params
