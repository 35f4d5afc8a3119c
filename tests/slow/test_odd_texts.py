"""Names of runs and folders that YAML would read as something else: they just work, for DVC too."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.slow


def test_a_run_named_no_on_a_folder_with_a_colon(finished_copy, tmp_path):
    folder = tmp_path / "shoot 12:30"
    shutil.copytree(finished_copy.path("data/images/demo/pictures"), folder)
    sets = ["--set", "model.width=0.0625", "--set", "whiten.dim=16", "--set", "train.passes=1"]
    ended = finished_copy.pipeline("run", "--run", "no", "--images", folder, "--epochs", "1", *sets)
    assert ended.returncode == 0, ended.stderr
    for words in (["dvc", "status"], ["dvc", "repro", "data/runs/no/dvc.yaml"]):
        ended = finished_copy.command(*words)
        assert ended.returncode == 0 and "up to date" in ended.stdout + ended.stderr, ended
    assert "run no: all" in finished_copy.pipeline("status", "--run", "no").stdout
    assert "nothing to do" in finished_copy.pipeline("run").stdout
    assert finished_copy.pipeline("remove", "no", "--yes").returncode == 0
    assert "up to date" in finished_copy.command("dvc", "status").stdout
