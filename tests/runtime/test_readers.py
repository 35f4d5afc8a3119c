"""stages/runtime/readers.py: processes that read pictures, their answers, errors and ends."""

import os
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest
from projects import ROOT
from reader_helpers import readers_running
from stage_helpers import folder_of_pictures, picture, refused, save

from stages.method import decode
from stages.runtime import readers
from stages.runtime.readers import read_pictures
from stages.sources.entries import Entry
from stages.sources.folders import list_folder
from stages.sources.pictures import read_picture


@pytest.fixture
def entries(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "FEWEST", 1)
    # So that some are still to be read when the first ones are there.
    monkeypatch.setattr(readers, "AHEAD", 1)
    folder_of_pictures(tmp_path, 12)
    (tmp_path / "a/broken.jpg").write_bytes(b"broken")
    exif = picture(30, 60).getexif()
    exif[0x0112] = 6
    save(tmp_path / "b/turned.jpg", picture(30, 60), exif=exif)
    return list_folder(os.fsencode(tmp_path)).entries


def plain(read):
    digest, found = read
    return digest, found if isinstance(found, str) else (found.shape, found.tobytes())


def test_processes_answer_what_threads_do_in_order(entries):
    wanted = [plain(read_picture(entry, 20)) for entry in entries]
    assert {type(found) for _, found in wanted} == {str, tuple}
    with closing(read_pictures(entries, 20, 3)) as pictures:
        found = [plain(next(pictures))]
        assert len(readers_running()) == 3
        found += map(plain, pictures)
    assert found == wanted
    assert readers_running() == []


def test_processes_import_what_the_one_that_asks_does_wherever_it_stands(tmp_path, entries, monkeypatch):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert sum(1 for _ in read_pictures(entries, 20, 3)) == len(entries)


@pytest.mark.parametrize(("workers", "fewest"), [(2, 1), (0, 1), (3, 15)])
def test_few_cores_and_few_pictures_start_no_process(entries, monkeypatch, workers, fewest):
    monkeypatch.setattr(readers, "FEWEST", fewest)
    with closing(read_pictures(entries, 20, workers)) as pictures:
        next(pictures)
        assert readers_running() == []
        assert sum(1 for _ in pictures) == len(entries) - 1


def test_large_pictures_of_all_processes_share_the_room_of_the_one_that_asks(tmp_path, entries, monkeypatch):
    for number in range(4):
        save(tmp_path / f"large/{number}.jpg", picture(1100, 1200 + number))
    asked = []

    class Watched(decode._Room):
        def of(self, pixels):
            asked.append(pixels)
            return super().of(pixels)

    # One at a time.
    monkeypatch.setattr(decode, "_room", Watched(1100 * 1300))
    entries = list_folder(os.fsencode(tmp_path)).entries
    assert sum(1 for _ in read_pictures(entries, 20, 3)) == len(entries) == 18
    assert sorted(asked) == [1100 * (1200 + number) for number in range(4)]


def test_a_process_that_is_killed_is_one_line_that_names_the_picture(entries):
    with closing(read_pictures(entries, 20, 3)) as pictures:
        next(pictures)
        for pid in readers_running():
            os.kill(pid, signal.SIGKILL)
        line = refused(lambda: list(pictures))
    assert re.search(r"the process that read .*/[ab]/[\w.]+ was killed \(SIGKILL\)", line)
    assert "the same command goes on" in line
    assert readers_running() == []


def test_an_error_of_the_machine_is_told_as_by_a_thread(tmp_path, entries):
    # Opens, and ends in EIO when it is read, for everybody.
    (tmp_path / "b/0005.png").unlink()
    (tmp_path / "b/0005.png").symlink_to("/proc/self/mem")
    lines = {refused(lambda workers=workers: list(read_pictures(entries, 20, workers))) for workers in (0, 2, 3)}
    assert len(lines) == 1
    assert "b/0005.png cannot be read now: Input/output error" in lines.pop()


def test_a_bug_in_a_process_keeps_its_traceback(entries):
    wrong = [Entry(b"1.png", b"", size="large", mtime_ns=0)]
    with pytest.raises(TypeError) as caught:
        list(read_pictures(entries + wrong, 20, 3))
    assert "in read_picture" in caught.value.__notes__[0]


def test_a_loop_that_is_left_leaves_no_process(entries):
    def left():
        with closing(read_pictures(entries, 20, 3)) as pictures:
            for _ in pictures:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        left()
    assert readers_running() == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_in_silence_with_the_one_that_asks(tmp_path, entries, sent):
    program = (
        "import os, signal, sys\n"
        "sys.path.insert(0, 'tests/helpers')\n"
        "from reader_helpers import readers_running\n"
        "from stages.runtime import readers\n"
        "from stages.sources.folders import list_folder\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "readers.FEWEST = readers.AHEAD = 1\n"
        "pictures = readers.read_pictures(list_folder(os.fsencode(sys.argv[1])).entries, 20, 3)\n"
        "next(pictures)\n"
        "print(*readers_running(), flush=True)\n"
        "try:\n"
        "    os.killpg(os.getpid(), int(sys.argv[2]))\n"
        "    sum(1 for _ in pictures)\n"
        "except KeyboardInterrupt:\n"
        "    pictures.close()\n"
    )
    # Its outputs are theirs as well: both are at their end when all have ended.
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, str(int(sent))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode == (-sent if sent == signal.SIGKILL else 0)
    assert len(done.stdout.split()) == 3
    assert done.stderr == ""


def test_a_reader_imports_no_more_than_it_needs():
    program = "import sys, stages.runtime.readers; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    slow = {"torch", "torchvision", "faiss", "pandas", "pyarrow", "scipy", "sklearn", "zarr", "joblib", "pydantic"}
    assert {"numpy", "PIL"} <= loaded
    assert loaded & slow == set()
