"""pipeline/recording/hashes.py: the hash of a file or folder is DVC's."""

from __future__ import annotations

import yaml
from pipeline_helpers import node_of, params_of

from pipeline.recording.hashes import md5
from pipeline.recording.recorder import Recorder


def test_md5_equals_the_hash_that_dvc_recorded_for_every_output(finished):
    kinds = set()
    count = 0
    for lock in (finished.path("data")).rglob("dvc.lock"):
        for entry in yaml.safe_load(lock.read_text())["stages"].values():
            for out in entry.get("outs", []):
                path = lock.parent / out["path"]
                assert md5(path) == out["md5"], path
                kinds.add(path.is_dir())
                count += 1
    assert kinds == {True, False}
    # pictures; pixels, manifest, rejected, pack; params; init; ten of each epoch; six of final; weights,
    # baseline, export's; figures
    assert count == 1 + 4 + 1 + 1 + 2 * 10 + 6 + 4 + 1


def test_md5_of_a_folder_with_odd_names_equals_dvcs(finished_copy):
    folder = finished_copy.run_path("epochs/0001/trained")
    (folder / "b").mkdir()
    (folder / "b" / "a.txt").write_text("1")
    (folder / "b.txt").write_text("2")
    (folder / 'été "x".txt').write_text("3")
    (folder / "empty").mkdir()
    params = params_of(finished_copy.root)
    recorder = Recorder(finished_copy.root)
    recorder.record(node_of(params, "0001:train"))
    recorder.close()
    entry = yaml.safe_load(finished_copy.run_path("epochs/0001/dvc.lock").read_text())["stages"]["train"]
    (out,) = entry["outs"]
    assert md5(folder) == out["md5"]


def test_md5_of_nothing_is_none(tmp_path):
    assert md5(tmp_path / "absent") is None
