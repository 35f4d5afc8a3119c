"""stages/runtime/runner.py: what wraps every stage, however it is run."""

import os
from pathlib import Path

import pytest
from runner_helpers import EPOCH, labels, run, writing
from stage_helpers import RUN, change, files, published, refused, remove, run_one

from stages.artifacts.publishing import failure
from stages.artifacts.run_params import load_run_params
from stages.errors import Refusal
from stages.runtime.runner import find_node


def test_an_input_that_changes_while_a_stage_runs_stops_it(finished_copy):
    before = labels(finished_copy).read_bytes()

    def stage(job):
        writing()(job)
        os.utime(job.input("assignments"), ns=(1, 1))

    assert "changed while running" in refused(lambda: run(finished_copy, stage))
    assert labels(finished_copy).read_bytes() == before


def test_a_parameter_that_changes_while_a_stage_runs_stops_it(finished_copy):
    before = labels(finished_copy).read_bytes()

    def stage(job):
        writing()(job)
        change(finished_copy, {"pseudolabel": {"permuted": True}})

    assert "changed while running" in refused(lambda: run(finished_copy, stage))
    assert labels(finished_copy).read_bytes() == before


def test_a_missing_input_is_refused_by_name(finished_copy):
    source = finished_copy.root / RUN / EPOCH / "assignments.parquet"
    source.unlink()
    line = refused(lambda: run(finished_copy, writing()))
    assert str(source) in line
    assert "python -m pipeline status" in line


@pytest.mark.parametrize("error", [Refusal("the loss is nan"), ValueError("a bug"), KeyboardInterrupt()])
def test_a_stage_that_ends_in_an_error_publishes_nothing(finished_copy, error):
    folder = finished_copy.root / RUN / EPOCH
    before = files(folder)

    def stage(job):
        writing()(job)
        raise error

    with pytest.raises(type(error)):
        run(finished_copy, stage)
    assert files(folder) == before
    # Ctrl-C is no failure: `status` says missing, and the same command goes on.
    assert failure(folder, "pseudolabel") == (str(error) or None)


def test_publishing_ends_with_nothing_left_beside(finished_copy):
    run(finished_copy, writing())
    assert labels(finished_copy).read_bytes() == b"new"
    assert not list((finished_copy.root / RUN / EPOCH).glob(".partial-*"))


def test_files_appear_in_their_declared_order_and_only_when_all_are_whole(finished_copy, monkeypatch):
    """Whoever looks while a stage publishes sees old or new files, each whole: the lock comes last."""
    project = finished_copy
    folder = project.root / RUN / EPOCH
    order = []
    rename = os.replace

    def watched(source, target):
        if Path(target).parent == folder:
            order.append(Path(target).name)
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    for name in ("pca.npz", "whitened.zarr"):
        remove(folder / name)
    run_one(project, "whiten")
    assert order == ["pca.npz", "whitened.zarr"]
    assert set(order) <= set(published(folder))


def test_a_folder_that_is_no_epoch_and_a_stage_that_an_epoch_lacks_are_refused(finished_copy):
    params = load_run_params(finished_copy.root / RUN)
    assert "no epoch" in refused(lambda: find_node(finished_copy.root, params, Path(RUN) / "epochs", "train"))
    assert "no epoch" in refused(lambda: find_node(finished_copy.root, params, Path(RUN) / "epochs/0000", "train"))
    assert "no stage train" in refused(lambda: find_node(finished_copy.root, params, Path(RUN) / "final", "train"))


@pytest.mark.slow
def test_a_bug_leaves_its_traceback_in_the_log_and_a_refusal_only_its_line(finished_copy):
    project = finished_copy
    log = project.root / RUN / "log.txt"
    code = (
        "import sys\nfrom stages.runtime.runner import run_stage\ndef pseudolabel(job):\n    {}\nrun_stage(pseudolabel)"
    )
    folder = f"{RUN}/{EPOCH}"
    done = project.command("python", "-c", code.format("1 / 0"), folder)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in log.read_text()
    refusing = code.format("from stages.errors import Refusal; raise Refusal('no such thing')")
    done = project.command("python", "-c", refusing, folder)
    assert (done.returncode, done.stderr) == (1, "pseudolabel: no such thing\n")
    debug = project.command("python", "-c", refusing, folder, env={"DEEPCLUSTER_DEBUG": "1"})
    assert "Traceback" in debug.stderr
