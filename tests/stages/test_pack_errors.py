"""stages/pack.py run alone: a file that is no picture is rejected; one that cannot be read now stops, or asks again."""

import builtins
import errno
import os

import pytest
from pack_helpers import again, manifest, rejected, wide_pictures
from stage_helpers import (
    Stopping,
    files,
    folder_of_pictures,
    pack_into,
    picture,
    project_with,
    published,
    refused,
    save,
)

from stages.sources import folders


class Failing:
    """Makes `open` of the pictures whose name is in `names` end in an error."""

    def __init__(self, monkeypatch):
        self.names, self.number = set(), 0
        self._open = builtins.open
        monkeypatch.setattr("stages.sources.pictures.open", self._opened, raising=False)

    def arm(self, number, names):
        self.number, self.names = number, set(names)

    def _opened(self, path, *args, **options):
        if os.path.basename(path) in self.names:
            raise OSError(self.number, os.strerror(self.number), path)
        return self._open(path, *args, **options)


MACHINE = ["EIO", "ESTALE", "ENOTCONN", "EMFILE", "ENFILE", "ENOMEM", "ETIMEDOUT"]
SINGLE = ["EACCES", "ELOOP", "ENAMETOOLONG", "ENOENT", "EPERM"]


@pytest.mark.parametrize("name", MACHINE)
def test_an_error_of_the_machine_stops_and_the_same_command_goes_on(root, source, monkeypatch, name):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    failing = Failing(monkeypatch)
    failing.arm(getattr(errno, name), [b"015.png"])
    line = refused(lambda: pack_into(root))
    assert "015.png cannot be read now" in line and os.strerror(failing.number) in line
    assert published(root / "data/images/mine") == []
    failing.arm(0, [])
    report = Stopping()
    folder = pack_into(root, report)
    # Nine to a chunk, those of a/ first: the chunk that was closed before is not read again.
    assert report.totals[0] is not None and report.totals[0] < 25
    assert rejected(folder) == {}
    assert files(folder) == files(pack_into(again(root, size=60)))


@pytest.mark.parametrize("name", SINGLE)
def test_an_error_of_one_file_rejects_it_by_name(root, source, monkeypatch, name):
    folder_of_pictures(source, 6)
    failing = Failing(monkeypatch)
    failing.arm(getattr(errno, name), [b"0001.png", b"0002.png"])
    folder = pack_into(root)
    reason = f"cannot be opened: {os.strerror(failing.number)}"
    assert rejected(folder) == {b"a/0002.png": reason, b"b/0001.png": reason}
    assert len(manifest(folder)) == 4
    failing.arm(0, [])
    assert len(manifest(pack_into(root))) == 6


def test_where_no_file_can_be_opened_packing_is_refused(root, source, monkeypatch):
    folder_of_pictures(source, 3)
    Failing(monkeypatch).arm(errno.EACCES, [b"0000.png", b"0001.png", b"0002.png"])
    line = refused(lambda: pack_into(root))
    assert "none of 3 pictures can be read" in line and "Permission denied" in line
    assert published(root / "data/images/mine") == []


def test_too_little_memory_for_a_picture_stops_and_rejects_nothing(root, source, monkeypatch):
    folder_of_pictures(source, 3)

    def none_left(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("stages.sources.pictures.decode", none_left)
        assert "too little memory to decode" in refused(lambda: pack_into(root))
    assert len(manifest(pack_into(root))) == 3


@pytest.fixture
def closed(monkeypatch):
    """Makes looking into the folder b end in an error, as for a user who may not; root may."""
    looked = os.scandir
    number = [errno.EACCES]

    def scandir(path):
        if isinstance(path, bytes) and path.endswith(b"/b") and number[0]:
            raise OSError(number[0], os.strerror(number[0]), path)
        return looked(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)
    return number


def test_a_folder_that_may_not_be_listed_is_told_and_named(root, source, closed):
    folder_of_pictures(source, 4)
    report = Stopping()
    folder = pack_into(root, report)
    assert rejected(folder) == {b"b": "cannot be listed: Permission denied"}
    assert "1 folder left out: b cannot be listed: Permission denied" in report.told
    assert len(manifest(folder)) == 2


def test_a_folder_on_a_disk_that_fails_stops_the_listing(root, source, closed):
    folder_of_pictures(source, 4)
    closed[0] = errno.EIO
    line = refused(lambda: pack_into(root))
    assert str(source / "b") in line and "Input/output error" in line


def test_hidden_and_service_folders_and_a_macs_resource_files_are_left_out_and_named(root, source):
    folder_of_pictures(source, 4)
    for name in (".Trash-1000/files", ".thumbnails", "a/.ipynb_checkpoints", "@eaDir", "__MACOSX/a", ".git"):
        save(source / name / "0.png", picture(32, 32))
    (source / "a/._0000.png").write_bytes(b"\0\5\x16\7 of a Mac")
    report = Stopping()
    folder = pack_into(root, report)
    assert len(manifest(folder)) == 4
    assert rejected(folder) == {}
    assert "labels are the 2 folders (a, b)" in report.told
    assert "6 hidden or service folders left out: .Trash-1000, .git, .thumbnails, …" in report.told
