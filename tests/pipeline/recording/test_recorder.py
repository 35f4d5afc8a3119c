"""pipeline/recording/recorder.py: what is recorded in DVC, and what stays out of its cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pipeline_helpers import flip_byte, node_of, params_of, unlink

from pipeline.recording import recorder as module
from pipeline.recording.inspector import project_nodes
from pipeline.recording.recorder import Recorder
from stages.dag.names import PREVIOUS_LOCK
from stages.errors import Refusal


@pytest.fixture
def recorder(finished_copy):
    opened = Recorder(finished_copy.root)
    yield opened
    opened.close()


EPOCH_2 = ("extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint")


def changed(recorder: Recorder, project) -> dict[str, bool]:
    params = params_of(project.root)
    return {stage: recorder.changed(node_of(params, f"0002:{stage}")) for stage in EPOCH_2}


@pytest.mark.parametrize("left", [b"", b"schema: '2.0'\n", b"schema: '2.0'\nstages:\n", b"stages: [", b"\0" * 100])
def test_a_lock_that_is_emptied_is_restored_from_the_one_kept(finished_copy, recorder, left):
    lock = finished_copy.run_path("epochs/0002/dvc.lock")
    kept = finished_copy.run_path(f"epochs/0002/{PREVIOUS_LOCK}").read_bytes()
    lock.write_bytes(left)
    assert changed(recorder, finished_copy) == dict.fromkeys(EPOCH_2, False)
    assert lock.read_bytes() == kept


def test_a_lock_cut_anywhere_never_stops_dvc(finished_copy, recorder):
    lock, previous = (finished_copy.run_path(f"epochs/0002/{name}") for name in ("dvc.lock", PREVIOUS_LOCK))
    whole, kept = lock.read_bytes(), previous.read_bytes()
    params = params_of(finished_copy.root)
    last = node_of(params, "0002:checkpoint")
    for cut in [*range(1, len(whole), len(whole) // 11), len(whole) - 1]:
        lock.write_bytes(whole[:cut])
        previous.write_bytes(kept)
        assert not recorder.changed(last), cut
        assert lock.read_bytes() == whole
        # `dvc repro` keeps no copy: then what is cut off must not count as recorded.
        lock.write_bytes(whole[:cut])
        previous.unlink()
        assert recorder.changed(last), cut


# ---------------------------------------------------------------- DVC's cache


def cached_hashes(project) -> dict[str, Path]:
    files = project.path(".dvc/cache/files/md5").rglob("*")
    return {path.parent.name + path.name: path for path in files if path.is_file()}


def test_large_artifacts_stay_out_of_dvcs_cache_and_small_ones_are_in_it(finished):
    cache = cached_hashes(finished)
    inside, outside = 0, 0
    for node in project_nodes(params_of(finished.root)):
        for out in node.outs.values():
            path = finished.path(out.path)
            for file in path.rglob("*") if path.is_dir() else [path]:
                if not file.is_file():
                    continue
                found = hashlib.md5(file.read_bytes()).hexdigest() in cache
                if out.kind == "cached" or out.kind == "metrics":
                    assert found, f"{file} cannot be pushed"
                    inside += 1
                else:
                    assert not found, f"{file} is in the cache"
                    outside += 1
    # Six of each epoch, four of final, three of pack, the baseline, two of export, two figures, tables.
    assert inside == 6 * 2 + 4 + 3 + 1 + 2 + 2 + 11
    assert outside > 100


@pytest.mark.parametrize("where", ["run", "cache", "both"])
def test_a_damaged_artifact_is_made_again_as_it_was_whatever_the_cache_holds(cli, finished_copy, where):
    artifact = finished_copy.run_path("epochs/0002/centroids.npy")
    before = artifact.read_bytes()
    name = hashlib.md5(before).hexdigest()
    cached = cached_hashes(finished_copy)[name]
    assert not os.path.samefile(artifact, cached)
    for path in {"run": [artifact], "cache": [cached], "both": [artifact, cached]}[where]:
        mode = path.stat().st_mode
        path.chmod(0o644)
        flip_byte(path)
        path.chmod(mode)
    assert cli(finished_copy.root, "rerun", "cluster", "--epoch", "2").status == 0
    assert artifact.read_bytes() == before
    assert hashlib.md5(cached.read_bytes()).hexdigest() == name
    assert cli(finished_copy.root, "verify").status == 0


def test_dvcs_cache_holds_nothing_large_and_no_run_cache(finished):
    sizes = {path: path.stat().st_size for path in finished.path(".dvc/cache").rglob("*") if path.is_file()}
    assert sizes and max(sizes.values()) < 5_000_000
    assert not finished.path(".dvc/cache/runs").exists()


# ---------------------------------------------------------------- recording


def test_a_recorded_stage_is_up_to_date(finished_copy, recorder):
    node = node_of(params_of(finished_copy.root), "0001:cluster")
    path = finished_copy.run_path("epochs/0001/centroids.npy")
    time.sleep(0.01)
    flip_byte(path)
    path.touch()
    assert recorder.changed(node)
    recorder.record(node)
    assert not recorder.changed(node)
    entry = yaml.safe_load(finished_copy.run_path("epochs/0001/dvc.lock").read_text())["stages"]["cluster"]
    hashes = {out["path"]: out["md5"] for out in entry["outs"]}
    assert hashes["centroids.npy"] == hashlib.md5(path.read_bytes()).hexdigest()


def test_recording_rewrites_no_dvc_yaml_and_keeps_a_copy_of_the_lock(finished_copy, recorder):
    node = node_of(params_of(finished_copy.root), "0001:cluster")
    folder = finished_copy.run_path("epochs/0001")
    plan = (folder / "dvc.yaml").read_bytes()
    (folder / PREVIOUS_LOCK).unlink()
    recorder.record(node)
    assert (folder / "dvc.yaml").read_bytes() == plan
    assert (folder / PREVIOUS_LOCK).read_bytes() == (folder / "dvc.lock").read_bytes()


def test_clearing_removes_the_outputs_but_those_that_persist(finished_copy, recorder):
    params = params_of(finished_copy.root)
    for where in ("0001:extract", "0001:cluster", "demo:resolve"):
        recorder.clear(node_of(params, where))
    epoch = finished_copy.run_path("epochs/0001")
    assert not any((epoch / name).exists() for name in ("features.zarr", "centroids.npy", "clustering.json"))
    assert (epoch / "pca.npz").exists() and finished_copy.run_path("params.yaml").exists()
    recorder.clear(node_of(params, "0001:extract"))


def test_a_stage_without_its_outputs_is_not_recorded(finished_copy, recorder):
    before = finished_copy.run_path("epochs/0001/dvc.lock").read_bytes()
    unlink(finished_copy.run_path("epochs/0001/centroids.npy"))
    with pytest.raises(Exception, match="centroids"):
        recorder.record(node_of(params_of(finished_copy.root), "0001:cluster"))
    assert finished_copy.run_path("epochs/0001/dvc.lock").read_bytes() == before


def test_what_the_cache_alone_lacks_is_put_back_and_not_made_again(finished_copy, recorder):
    shutil.rmtree(finished_copy.path(".dvc/cache"))
    assert changed(recorder, finished_copy) == dict.fromkeys(EPOCH_2, False)
    assert list(finished_copy.path(".dvc/cache").rglob("*"))
    done = finished_copy.command("dvc", "status", "data/runs/demo/epochs/0002/dvc.yaml")
    assert "0002" not in done.stdout


def test_a_file_that_differs_is_made_again_with_a_cache_or_without(finished_copy, recorder):
    shutil.rmtree(finished_copy.path(".dvc/cache"))
    flip_byte(finished_copy.run_path("epochs/0002/centroids.npy"))
    assert changed(recorder, finished_copy)["cluster"]


def test_what_another_program_writes_is_read_again(finished_copy, recorder):
    folder = finished_copy.run_path("epochs/0002")
    assert not any(changed(recorder, finished_copy).values())
    plan = yaml.safe_load((folder / "dvc.yaml").read_text())
    plan["stages"]["cluster"]["cmd"] = plan["stages"]["cluster"]["cmd"].replace("stages.cluster", "stages.other")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    assert changed(recorder, finished_copy)["cluster"]


def test_what_is_written_while_it_is_read_is_read_again(finished_copy, recorder, monkeypatch):
    folder = finished_copy.run_path("epochs/0002")
    node = node_of(params_of(finished_copy.root), "0002:cluster")
    read = recorder.repo.stage.load_file

    def edited_meanwhile(path):
        stages = read(path)
        plan = folder / "dvc.yaml"
        plan.write_text(plan.read_text().replace("stages.cluster", "stages.another"))
        return stages

    monkeypatch.setattr(recorder.repo.stage, "load_file", edited_meanwhile)
    assert not recorder.changed(node)
    monkeypatch.undo()
    assert recorder.changed(node)


def test_a_stage_that_dvc_does_not_know_loses_nothing(finished_copy, recorder):
    finished_copy.run_path("epochs/0002/dvc.yaml").write_text("stages: {}\n")
    before = finished_copy.tree()
    with pytest.raises(Refusal, match=r"no stage cluster.*pipeline plan --run demo"):
        recorder.clear(node_of(params_of(finished_copy.root), "0002:cluster"))
    assert finished_copy.tree() == before


def test_a_cache_that_would_fill_the_disk_is_one_line_and_nothing_is_recorded(finished_copy, recorder, monkeypatch):
    node = node_of(params_of(finished_copy.root), "0002:cluster")
    lock = finished_copy.run_path("epochs/0002/dvc.lock")
    before = lock.read_bytes(), finished_copy.tree()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(Refusal, match=r"no space left on device: .*dvc\.lock needs"):
        recorder.record(node)
    assert (lock.read_bytes(), finished_copy.tree()) == before


def test_what_dvc_cannot_record_is_one_line(finished_copy, recorder):
    node = node_of(params_of(finished_copy.root), "0002:cluster")
    finished_copy.run_path("epochs/0002/whitened.zarr").rename(finished_copy.path("elsewhere"))
    with pytest.raises(Refusal, match=r"0002:cluster is published, and DVC could not record it \(.*same command"):
        recorder.record(node)


def test_a_plan_that_dvc_cannot_read_is_one_line(finished_copy, recorder):
    finished_copy.run_path("epochs/0002/dvc.yaml").write_text("stages: [")
    with pytest.raises(Refusal, match=r"0002/dvc\.yaml cannot be read \(.*pipeline plan"):
        changed(recorder, finished_copy)
