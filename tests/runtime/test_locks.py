"""stages/runtime/locks.py: one writer per folder, by a lock that the kernel frees."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from projects import ROOT
from stage_helpers import refused

from stages.errors import Refusal
from stages.runtime.locks import only_writer, reader

HOLDER = """
import sys, time
from pathlib import Path
from stages.runtime.locks import only_writer, reader
with only_writer(Path(sys.argv[1]), "run demo"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def held(folder):
    try:
        with only_writer(folder, "run demo"):
            return False
    except Refusal:
        return True


def test_a_second_writer_is_told_host_pid_and_since_when_every_time(tmp_path):
    with another_holder(tmp_path) as holder:
        lines = [refused(lambda: only_writer(tmp_path, "run demo").__enter__()) for _ in range(2)]
    # A refused writer that emptied the file on its way would leave the next without the answer.
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"run demo in use by host {socket.gethostname()}, pid {holder.pid}, since 2")


def test_a_killed_holder_frees_the_lock(tmp_path):
    with another_holder(tmp_path) as holder:
        assert held(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not held(tmp_path)


def test_the_lock_is_free_after_the_work_and_after_an_error(tmp_path):
    with only_writer(tmp_path, "run demo"):
        assert held(tmp_path)
    assert not held(tmp_path)
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path, "run demo"):
        raise ZeroDivisionError
    assert not held(tmp_path)


def test_what_a_dead_holder_left_in_the_file_is_no_lock(tmp_path):
    """Two containers both have a pid 1: only the kernel knows whether the holder lives."""
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": "now"}))
    with only_writer(tmp_path, "run demo"):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_child_process_does_not_keep_the_lock(tmp_path):
    with only_writer(tmp_path, "run demo"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert not held(tmp_path)
    finally:
        child.kill()
        child.wait()


def test_other_folders_are_free(tmp_path):
    with only_writer(tmp_path / "one", "run one"):
        assert not held(tmp_path / "two")


def test_a_lock_without_a_name_in_it_is_refused_all_the_same(tmp_path):
    with another_holder(tmp_path):
        (tmp_path / ".lock").write_text("")
        assert "in use by another process" in refused(lambda: only_writer(tmp_path, "run demo").__enter__())


def reading(folder, user):
    return reader(folder, "data set photos", user)


def writing(folder):
    return only_writer(folder, "data set photos")


def test_readers_go_side_by_side_and_a_writer_is_told_who_reads_since_when(tmp_path):
    with reading(tmp_path, "run a"):
        with reading(tmp_path, "run b"):
            line = refused(lambda: writing(tmp_path).__enter__())
        assert line.startswith(
            f"data set photos in use by run a, host {socket.gethostname()}, pid {os.getpid()}, since"
        )
    with writing(tmp_path):
        assert "in use by host" in refused(lambda: reading(tmp_path, "run a").__enter__())


def test_a_reader_that_was_killed_is_not_told(tmp_path):
    program = HOLDER.replace("only_writer", "reader").replace('"run demo"', '"photos", "run killed"')
    words = [sys.executable, "-c", program, tmp_path]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "held\n"
        with reading(tmp_path, "run b"):
            killed.kill()
            killed.wait()
            assert "in use by run b" in refused(lambda: writing(tmp_path).__enter__())
    with writing(tmp_path):
        pass
