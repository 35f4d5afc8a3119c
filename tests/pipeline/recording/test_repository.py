"""pipeline/recording/repository.py: opened wherever the project lies; what is waited for; what is mended."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import threading
import time

import pytest
from pipeline_helpers import node_of, params_of

from pipeline.recording.recorder import Recorder


@pytest.fixture
def recorder(finished_copy):
    opened = Recorder(finished_copy.root)
    yield opened
    opened.close()


def test_dvcs_lock_is_free_between_calls(finished_copy, recorder):
    node = node_of(params_of(finished_copy.root), "0001:cluster")
    recorder.changed(node)
    recorder.record(node)
    other = Recorder(finished_copy.root)
    other.repo.lock.lock()
    other.repo.lock.unlock()
    other.close()


def test_another_dvc_command_is_waited_for(finished_copy, monkeypatch):
    # DVC itself tries for so many seconds before it gives up.
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.06)
    told = []
    recorder = Recorder(finished_copy.root, told.append)
    other = Recorder(finished_copy.root)
    other.repo.lock.lock()
    timer = threading.Timer(0.4, other.repo.lock.unlock)
    timer.start()
    started = time.monotonic()
    assert not recorder.changed(node_of(params_of(finished_copy.root), "0001:cluster"))
    assert time.monotonic() - started > 0.3
    assert told == [
        f"another DVC command (pid {os.getpid()}) holds the repository: waiting until it has ended (Ctrl-C stops that, "
        "and the same command goes on)"
    ]
    timer.join()
    other.close()
    recorder.close()


@pytest.mark.parametrize("what", ["changed", "record"])
def test_a_file_that_another_dvc_command_works_on_is_waited_for(finished_copy, what):
    told = []
    recorder = Recorder(finished_copy.root, told.append)
    node = node_of(params_of(finished_copy.root), "0001:cluster")
    path = finished_copy.run_path("epochs/0001/assignments.parquet")
    # What DVC writes while it runs a stage, here of this process under another name.
    busy = {"write": {str(path): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    rwlock = finished_copy.path(".dvc/tmp/rwlock")
    rwlock.write_text(json.dumps(busy))
    timer = threading.Timer(0.4, rwlock.write_text, ["{}"])
    timer.start()
    started = time.monotonic()
    assert not getattr(recorder, what)(node)
    assert time.monotonic() - started > 0.3
    assert told == [
        f"`dvc repro`, pid {os.getpid()}, uses the same files: waiting until it has ended (Ctrl-C stops that, and the "
        "same command goes on; if there is no such process: rm .dvc/tmp/rwlock)"
    ]
    timer.join()
    recorder.close()


@pytest.mark.parametrize("content", [b"", b'{"read": {', b"[1, 2]", b"\xff\xfe\x00"])
def test_a_list_of_files_in_use_that_a_kill_cut_short_is_mended(finished_copy, recorder, content):
    node = node_of(params_of(finished_copy.root), "0002:cluster")
    for work in (recorder.changed, recorder.record):
        finished_copy.path(".dvc/tmp/rwlock").write_bytes(content)
        assert not work(node)
    assert isinstance(json.loads(finished_copy.path(".dvc/tmp/rwlock").read_bytes()), dict)


def test_without_git_a_stage_is_recorded_and_what_dvc_needs_is_told(finished_copy, cli):
    shutil.rmtree(finished_copy.path(".git"))
    ended = cli(finished_copy.root, "rerun", "export")
    assert (ended.status, ended.err) == (0, "")
    assert "`dvc config --local core.no_scm true`" in ended.out
    assert "export is made again" in ended.out
    (finished_copy.path(".dvc/config.local")).write_text("[core]\n    no_scm = true\n")
    ended = cli(finished_copy.root, "run")
    assert ended.status == 0 and "no_scm" not in ended.out and "nothing to do" in ended.out


def test_a_user_without_name_and_home_can_run(finished_copy, cli, monkeypatch):
    def nobody(_):
        raise KeyError("uid not found")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    # What the recorder puts there is gone after the test.
    for name in ("HOME", "USER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    ended = cli(finished_copy.root, "rerun", "export")
    assert (ended.status, ended.err) == (0, "")


def test_what_dvc_refuses_is_one_line_before_a_folder_is_made(finished_copy, cli):
    finished_copy.path(".dvc/config").write_text("[core\n")
    before = sorted(finished_copy.path("data").rglob("*"))
    line = cli.refused(finished_copy.root, "run", "--run", "b", "--images", "data/images/demo/pictures")
    assert line.startswith("DVC: ") and "config" in line
    assert sorted(finished_copy.path("data").rglob("*")) == before
