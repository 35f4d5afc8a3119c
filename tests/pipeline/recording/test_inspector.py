"""pipeline/recording/inspector.py: done, stale, missing, failed: each provoked, and in agreement with DVC."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import yaml
from pipeline_helpers import changed, content_of, flip_byte, params_of, states_of, unlink

from pipeline.recording.hashes import md5
from pipeline.recording.inspector import of_run, project_nodes
from pipeline.recording.recorder import Recorder
from stages.artifacts.run_params import render
from stages.dag.names import PREVIOUS_LOCK
from stages.dag.revisions import revisions
from stages.parameters.resolution import resolve_run

RUN = "data/runs/demo"


def all_states(root: Path) -> dict[str, str]:
    return {status.node.id: status.state for status in of_run(root, params_of(root))}


def test_a_finished_run_is_done(finished):
    assert set(all_states(finished.root).values()) == {"done"}


def test_an_edited_parameter_makes_its_stage_stale_and_what_follows(finished_copy):
    finished_copy.edit({"runs": {"demo": {"train": {"lr": 0.3}}}})
    states = all_states(finished_copy.root)
    done = {name for name, state in states.items() if state == "done"}
    first = {f"{RUN}/epochs/0001:{stage}" for stage in ("extract", "whiten", "cluster", "pseudolabel")}
    assert done == first | {f"{RUN}:init", f"{RUN}:baseline", "data/images/demo:generate", "data/images/demo:pack"}
    assert set(states.values()) == {"done", "stale"}


def test_a_deleted_file_makes_its_stage_stale_and_names_it(finished_copy):
    unlink(finished_copy.run_path("epochs/0002/centroids.npy"))
    states = states_of(finished_copy.root, params_of(finished_copy.root))
    assert states[f"{RUN}/epochs/0002:cluster"] == ("stale", f"{RUN}/epochs/0002/centroids.npy is deleted")
    assert {name for name, (state, _) in states.items() if state != "done"} == {f"{RUN}/epochs/0002:cluster"}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("epochs/0001/centroids.npy", {"epochs/0001:cluster"}),
        ("epochs/0001/trained/checkpoint.pt", {"epochs/0001:train", "epochs/0001:checkpoint"}),
        ("epochs/0002/features.zarr/c.1.0", {"epochs/0002:extract", "epochs/0002:whiten"}),
    ],
)
def test_a_file_corrupted_in_place_is_found_though_size_and_time_are_the_same(finished_copy, name, stages):
    path = finished_copy.run_path(name)
    assert path.exists()
    before = path.stat()
    flip_byte(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    states = states_of(finished_copy.root, params_of(finished_copy.root))
    differ = {name.removeprefix(f"{RUN}/") for name, (state, _) in states.items() if state != "done"}
    # In a copied tree checkpoint.pt is a file of its own, so epoch 2 reads one that is whole.
    assert differ == stages


def test_what_was_corrupted_before_a_later_stage_renewed_the_record_is_found(cli, finished_copy):
    flip_byte(finished_copy.run_path("epochs/0002/features.zarr/c.1.0"))
    assert cli(finished_copy.root, "rerun", "checkpoint", "--epoch", "2").status == 0
    states = states_of(finished_copy.root, params_of(finished_copy.root))
    assert {name for name, (state, _) in states.items() if state != "done"} == {
        f"{RUN}/epochs/0002:extract",
        f"{RUN}/epochs/0002:whiten",
    }


def test_what_was_corrupted_before_its_reader_was_made_again_is_found(cli, finished_copy):
    flip_byte(finished_copy.run_path("epochs/0002/features.zarr/c.1.0"))
    assert cli(finished_copy.root, "rerun", "whiten", "--epoch", "2").status == 0
    state, why = states_of(finished_copy.root, params_of(finished_copy.root))[f"{RUN}/epochs/0002:extract"]
    assert (state, why) == ("stale", f"{RUN}/epochs/0002/features.zarr changed")


def test_run_makes_again_what_status_finds_damaged_though_dvc_does_not_look_at_it(cli, finished_copy):
    cli(finished_copy.root, "run")
    before = finished_copy.tree()
    for name in ("checkpoint.pt", "trained/steps.parquet"):
        flip_byte(finished_copy.run_path(f"epochs/0001/{name}"))
    told = cli.refused(finished_copy.root, "run")
    assert "epochs/0001:train (data/runs/demo/epochs/0001/trained changed)" in told and "--yes" in told
    assert finished_copy.tree() != before
    ended = cli(finished_copy.root, "run", "--yes")
    assert (ended.status, ended.err) == (0, "")
    assert "2 stages run" in ended.out
    assert finished_copy.tree() == before


def test_nothing_is_hashed_in_a_run_that_was_computed_here(finished_copy, monkeypatch):
    unlink(finished_copy.path(RUN), finished_copy.path("dvc.lock"))
    finished_copy.run()
    read = []
    monkeypatch.setattr("pipeline.recording.inspector.md5", lambda path: read.append(path) or md5(path))
    assert set(all_states(finished_copy.root).values()) == {"done"}
    # The pictures were copied here after their record.
    assert not [path for path in read if path.is_relative_to(finished_copy.path(RUN))]


def test_a_stage_without_a_record_is_missing_and_what_follows_stale(finished_copy):
    unlink(finished_copy.run_path("epochs/0002/dvc.lock"))
    states = all_states(finished_copy.root)
    assert {state for name, state in states.items() if "0002:" in name} == {"missing"}
    assert {state for name, state in states.items() if "0001:" in name} == {"done"}
    assert {state for name, state in states.items() if "/final:" in name} == {"stale"}


def test_a_failed_stage_says_why(finished_copy):
    lock = finished_copy.run_path("epochs/0002/dvc.lock")
    content = yaml.safe_load(lock.read_text())
    del content["stages"]["train"]
    lock.write_text(yaml.safe_dump(content))
    partial = finished_copy.run_path("epochs/0002/.partial-train")
    partial.mkdir()
    (partial / "failed.json").write_text(json.dumps({"error": "the loss is nan"}))
    states = states_of(finished_copy.root, params_of(finished_copy.root))
    assert states[f"{RUN}/epochs/0002:train"] == ("failed", "the loss is nan")
    assert [name for name, (state, _) in states.items() if state == "failed"] == [f"{RUN}/epochs/0002:train"]


def test_a_touched_file_is_still_done(finished_copy):
    for name in ("epochs/0001/centroids.npy", "epochs/0001/features.zarr/zarr.json"):
        os.utime(finished_copy.run_path(name))
    assert set(all_states(finished_copy.root).values()) == {"done"}


def touched(project):
    os.utime(project.run_path("epochs/0001/assignments.parquet"))


def resolved_again(project):
    project.edit({"runs": {"demo": {"train": {"lr": 0.3}, "whiten": {"dim": 16}}}})
    project.run_path("params.yaml").write_bytes(render(params_of(project.root)))


def outputs_damaged(project):
    # A chunk, a whole folder, one file too many, other content: each in a stage of its own.
    unlink(project.run_path("epochs/0001/features.zarr/c.1.0"), project.run_path("epochs/0002/whitened.zarr"))
    (project.run_path("epochs/0002/trained") / "note.txt").write_text("x")
    flip_byte(project.run_path("final/assignments.parquet"))
    os.utime(project.run_path("final/assignments.parquet"))


def shared_byte_changed(project):
    flip_byte(project.path("data/images/demo/pack.json"))
    os.utime(project.path("data/images/demo/pack.json"))


def records_lost(project):
    unlink(project.run_path("epochs/0002/dvc.lock"))
    lock = project.run_path("epochs/0001/dvc.lock")
    content = yaml.safe_load(lock.read_text())
    del content["stages"]["whiten"]
    lock.write_text(yaml.safe_dump(content))


def dataset_changed(project):
    project.edit({"datasets": {"demo": {"generate": {"images": 180}}}})
    project.run_path("params.yaml").write_bytes(render(params_of(project.root)))


def unused_key_changed(project):
    project.edit({"cluster": {"pic": {"sigma": 0.3}}})


def another_run_changed(project):
    project.edit({"runs": {"yfcc-alexnet": {"epochs": 3}}})


SITUATIONS = [
    touched,
    resolved_again,
    outputs_damaged,
    shared_byte_changed,
    records_lost,
    dataset_changed,
    unused_key_changed,
    another_run_changed,
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_status_agrees_with_dvc_for_every_stage(finished_copy, situation):
    # DVC believes a file whose size and time are those it knows; a change in the same tick would escape it.
    time.sleep(0.01)
    situation(finished_copy)
    params = params_of(finished_copy.root)
    nodes = project_nodes(params)
    ours = {name: state != "done" for name, (state, _) in states_of(finished_copy.root, params, nodes).items()}
    recorder = Recorder(finished_copy.root)
    theirs = {node.id: recorder.changed(node) for node in nodes}
    recorder.close()
    assert ours == theirs
    if situation not in (touched, another_run_changed):
        assert any(theirs.values())


def test_status_looks_at_the_parameters_that_hold_now_and_not_at_the_runs_file(finished):
    content = changed(content_of(finished.root), "whiten.dim", 16)
    states = states_of(finished.root, resolve_run(content, "demo", revisions()))
    assert states[f"{RUN}/epochs/0001:whiten"] == ("stale", "whiten.dim changed")


def test_asking_changes_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path("data").rglob("*")}
    all_states(finished.root)
    assert {path: path.stat().st_mtime_ns for path in finished.path("data").rglob("*")} == before


def test_a_lock_cut_short_reads_as_not_recorded(finished_copy):
    lock = finished_copy.run_path("epochs/0001/dvc.lock")
    lock.write_text(lock.read_text()[: len(lock.read_text()) // 2] + "\n  : [")
    states = all_states(finished_copy.root)
    assert {state for name, state in states.items() if "0001:" in name} == {"done"}, "the kept copy tells"
    unlink(finished_copy.run_path(f"epochs/0001/{PREVIOUS_LOCK}"))
    states = all_states(finished_copy.root)
    assert {state for name, state in states.items() if "0001:" in name} == {"missing"}


def test_a_run_without_any_record_is_missing_throughout(finished_copy):
    unlink(finished_copy.path("data"), finished_copy.path("dvc.lock"))
    assert set(all_states(finished_copy.root).values()) == {"missing"}
