"""stages/pruned.py: what the guard of a pruned epoch says."""

from __future__ import annotations

import shutil

import pytest
from pipeline_helpers import flip_byte, unlink
from projects import Project
from retention_helpers import values

from stages import pruned


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
    told = guarded(pruned_copy, 3, monkeypatch, capsys)
    assert "data/images/demo/pack.json is not what it was made with" in told and "--run NAME --dataset demo`" in told
