"""stages/pack.py run alone with a process a core: the same bytes, and the same after Ctrl-C, a kill and an error."""

import os
import signal

import pytest
from pack_helpers import again, rejected, wide_pictures
from reader_helpers import readers_running
from stage_helpers import Stopping, files, pack_into, project_with, published, refused, save
from stage_helpers import picture as drawn

from stages.runtime import readers, runner


@pytest.fixture
def few_pictures_are_enough(monkeypatch):
    monkeypatch.setattr(readers, "FEWEST", 1)
    # So that some are still to be read when a loop is left.
    monkeypatch.setattr(readers, "AHEAD", 1)


def on(cores, monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: cores)


@pytest.fixture
def packed(root, source, monkeypatch):
    """What threads make of 25 pictures, nine to a chunk, three of which are none."""
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    (source / "a/000.png").write_bytes(b"broken")
    (source / "b/021.png").write_bytes((source / "b/021.png").read_bytes()[:-300])
    save(source / "b/wide.png", drawn(2, 60))
    on(2, monkeypatch)
    return files(pack_into(again(root, size=60)))


@pytest.mark.parametrize("cores", [1, 3, 5])
def test_the_number_of_cores_changes_no_byte(root, packed, few_pictures_are_enough, monkeypatch, cores):
    on(cores, monkeypatch)
    folder = pack_into(root)
    assert files(folder) == packed
    assert set(rejected(folder)) == {b"a/000.png", b"b/021.png", b"b/wide.png"}


def test_ctrl_c_ends_the_processes_and_the_same_command_goes_on(root, packed, few_pictures_are_enough, monkeypatch):
    on(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(14))
    assert readers_running() == []
    report = Stopping()
    assert files(pack_into(root, report)) == packed
    assert report.totals[0] < 26


class Killing(Stopping):
    """Kills the processes that read, as the kernel does where memory runs out, after 14 pictures."""

    def progress(self, items, what, total, count):
        for done, item in enumerate(super().progress(items, what, total, count)):
            if done == 14:
                for pid in readers_running():
                    os.kill(pid, signal.SIGKILL)
            yield item


def test_a_killed_process_is_told_and_the_same_command_goes_on(root, packed, few_pictures_are_enough, monkeypatch):
    on(3, monkeypatch)
    line = refused(lambda: pack_into(root, Killing()))
    assert "was killed (SIGKILL)" in line and "the same command goes on" in line
    assert published(root / "data/images/mine") == []
    report = Stopping()
    assert files(pack_into(root, report)) == packed
    assert report.totals[0] < 26


def test_an_error_of_the_machine_stops_and_the_same_command_goes_on(
    root, source, packed, few_pictures_are_enough, monkeypatch
):
    on(3, monkeypatch)
    healthy = source / "b/015.png"
    content, times = healthy.read_bytes(), (healthy.stat().st_atime_ns, healthy.stat().st_mtime_ns)
    healthy.unlink()
    # Opens, and ends in EIO when it is read.
    healthy.symlink_to("/proc/self/mem")
    line = refused(lambda: pack_into(root))
    assert "b/015.png cannot be read now: Input/output error" in line
    assert published(root / "data/images/mine") == []
    healthy.unlink()
    healthy.write_bytes(content)
    os.utime(healthy, ns=times)
    assert files(pack_into(root)) == packed
