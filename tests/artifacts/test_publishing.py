"""stages/artifacts/publishing.py and writing.py: an artifact is under its final name whole or not at all."""

import errno
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from stage_helpers import FullDisk, files

from stages.artifacts.arrays import write_npy, write_npz, write_torch
from stages.artifacts.documents import write_json
from stages.artifacts.publishing import Partial, failure
from stages.artifacts.tables import write_parquet
from stages.artifacts.writing import remove, write_bytes
from stages.errors import OutOfSpace


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it."""


def stop_at(monkeypatch, step):
    """Raises Killed instead of the file operation number `step`, and instead of all that follow."""
    count = 0

    def stopping(function):
        def wrapped(*args, **options):
            nonlocal count
            count += 1
            if count > step:
                raise Killed
            return function(*args, **options)

        return wrapped

    for name in ("rename", "replace", "mkdir"):
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", stopping(shutil.rmtree))


def write_attempt(folder, content):
    """A stage that writes a folder of two files and a file beside it."""
    partial = Partial(folder, "stage")
    partial.begin("key")
    array = partial.path / "array.zarr"
    array.mkdir(exist_ok=True)
    write_bytes(array / "one", content)
    write_bytes(array / "two", content)
    write_bytes(partial.path / "table", content)
    return partial


NAMES = ["array.zarr", "table"]
OLD = {"array.zarr/one": b"old", "array.zarr/two": b"old", "table": b"old"}
NEW = dict.fromkeys(OLD, b"new")


@pytest.mark.parametrize("step", range(9))
@pytest.mark.parametrize("replacing", [False, True])
def test_a_kill_at_any_step_of_publishing_leaves_each_artifact_old_or_new_and_whole(
    tmp_path, monkeypatch, step, replacing
):
    if replacing:
        write_attempt(tmp_path, b"old").publish(NAMES)
        assert files(tmp_path) == OLD
    partial = write_attempt(tmp_path, b"new")
    with monkeypatch.context() as patched:
        stop_at(patched, step)
        try:
            partial.publish(NAMES)
        except Killed:
            ended = False
        else:
            ended = True
    Partial(tmp_path, "stage").recover()
    left = files(tmp_path)
    array = {name: content for name, content in left.items() if name.startswith("array")}
    before = OLD if replacing else {}
    assert array in [{name: all_of[name] for name in all_of if name != "table"} for all_of in (NEW, before)]
    assert left.get("table") in (b"new", before.get("table"))
    assert not ended or left == NEW
    write_attempt(tmp_path, b"new").publish(NAMES)
    assert files(tmp_path) == NEW
    assert not partial.path.exists()


def test_a_kill_between_the_two_renames_of_a_folder_is_undone_at_the_next_start(tmp_path, monkeypatch):
    write_attempt(tmp_path, b"old").publish(NAMES)
    partial = write_attempt(tmp_path, b"new")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            partial.publish(NAMES)
    assert not (tmp_path / "array.zarr").exists()
    Partial(tmp_path, "stage").begin("another key")
    assert files(tmp_path) == OLD


def test_save_points_stay_under_the_same_key_and_go_under_another(tmp_path):
    partial = Partial(tmp_path, "stage")
    partial.begin("key")
    (partial.path / "savepoint").write_text("half")
    partial.begin("key")
    assert (partial.path / "savepoint").exists()
    partial.begin("other")
    assert not (partial.path / "savepoint").exists()


def test_a_failure_is_told_until_the_next_attempt(tmp_path):
    partial = Partial(tmp_path, "stage")
    assert failure(tmp_path, "stage") is None
    partial.begin("key")
    partial.fail("the loss is nan")
    assert failure(tmp_path, "stage") == "the loss is nan"
    partial.begin("key")
    assert failure(tmp_path, "stage") is None


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_full_disk_names_the_path_and_the_megabytes_and_changes_nothing(tmp_path, monkeypatch, before):
    target = tmp_path / "artifact"
    if before:
        target.write_bytes(before)
    FullDisk(monkeypatch, tmp_path).arm(0)
    with pytest.raises(OutOfSpace) as caught:
        write_bytes(target, bytes(3 * 2**20))
    line = str(caught.value)
    assert line.startswith("no space left on device")
    assert f"{target} needs 3.1 MB" in line
    assert "\n" not in line
    assert (target.read_bytes() if target.exists() else None) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_found_full_only_by_fsync_is_told_too(tmp_path, monkeypatch, code):
    """Network file systems and quotas answer late."""
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, "late")))
    with pytest.raises(OutOfSpace):
        write_bytes(tmp_path / "artifact", b"content")
    assert not (tmp_path / "artifact").exists()


def test_another_error_of_the_system_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "absent/artifact", b"content")


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """A rename that overtakes the data would leave an empty file under the final name after a power cut."""
    order = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, f=function, n=name: (order.append(n), f(*a))[1])
    write_bytes(tmp_path / "artifact", b"content")
    assert order == ["fsync", "replace"]


def test_a_published_file_that_others_link_to_is_not_written_into(tmp_path):
    """checkpoint.pt is a hard link: opening the old file for writing would change both."""
    write_bytes(tmp_path / "one", b"old")
    os.link(tmp_path / "one", tmp_path / "link")
    write_bytes(tmp_path / "one", b"new")
    assert (tmp_path / "link").read_bytes() == b"old"


WRITERS = {
    "json": lambda path: write_json(path, {"a": [1.5, None, "é"], "b": True}),
    "parquet": lambda path: write_parquet(path, pd.DataFrame({"path": [b"\xe9", b"x"], "n": [1, 2]})),
    "npy": lambda path: write_npy(path, np.arange(6.0).reshape(2, 3)),
    "npz": lambda path: write_npz(path, a=np.arange(3), b=np.float64(2.5)),
    "torch": lambda path: write_torch(path, {"weight": torch.arange(3.0), "lr": 0.1}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_equal_content_gives_equal_bytes_under_any_name(tmp_path, kind):
    WRITERS[kind](tmp_path / "one")
    WRITERS[kind](tmp_path / "another name.pt")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "another name.pt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another name.pt", "one"]


def test_json_holds_no_nan(tmp_path):
    """NaN is no JSON: other readers refuse the file."""
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"loss": float("nan")})
    assert not (tmp_path / "metrics.json").exists()


def test_removing_a_link_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove(tmp_path / "link")
    remove(tmp_path / "absent")
    assert (tmp_path / "kept/file").exists()
    assert not (tmp_path / "link").is_symlink()
