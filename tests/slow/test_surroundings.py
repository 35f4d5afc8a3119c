"""What the surroundings refuse: a project that may not be written, an output that takes nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from projects import Project

pytestmark = pytest.mark.slow

READ_ONLY = 'mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD" && cd "$PWD" && exec "$@"'


def mounts() -> bool:
    """Whether this user may mount, in a name space of its own."""
    tried = subprocess.run(["unshare", "-m", "mount", "--bind", "/tmp", "/tmp"], capture_output=True)
    return tried.returncode == 0


@pytest.mark.skipif(not mounts(), reason="this user may not mount a folder read-only")
def test_where_nothing_may_be_written_work_is_refused_in_one_line_and_reading_goes_on(finished_copy):
    def read_only(*words: str):
        return finished_copy.command("unshare", "-m", "sh", "-c", READ_ONLY, "sh", "python", "-m", "pipeline", *words)

    before = sorted(finished_copy.path("data").rglob("*"))
    for words in (
        ["run"],
        ["run", "--run", "new", "--images", "data/images/demo/pictures"],
        ["plan", "--epochs", "3"],
        ["rerun", "cluster", "--epoch", "1"],
        ["rerun", "pack", "--dataset", "demo"],
        ["branch", "--from", "demo@1", "--run", "b"],
        ["remove", "demo", "--yes"],
        ["embed", "data/images/demo/pictures", "-o", "out.parquet"],
    ):
        ended = read_only(*words)
        assert ended.returncode == 1, (words, ended)
        assert ended.stderr.count("\n") == 1, (words, ended.stderr)
        assert str(finished_copy.root) in ended.stderr and "read-only file system" in ended.stderr, (words, ended)
    for words in (["status"], ["show"], ["nmi"], ["runs"], ["verify"]):
        ended = read_only(*words)
        assert (ended.returncode, ended.stderr) == (0, ""), (words, ended)
    assert sorted(finished_copy.path("data").rglob("*")) == before


@pytest.mark.parametrize("redirected", [">&-", "> /dev/full", "2>&-"])
def test_a_run_goes_on_whatever_its_output_is(finished_copy, redirected):
    log = finished_copy.run_path("log.txt")
    before = len(log.read_text().splitlines())
    ended = finished_copy.command("sh", "-c", f"python -m pipeline rerun export {redirected}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "export is made again" in log.read_text().splitlines()[-1]
    assert len(log.read_text().splitlines()) > before


def test_a_table_that_cannot_be_printed_is_said_in_one_line(finished_copy):
    ended = finished_copy.command("sh", "-c", "python -m pipeline show > /dev/full")
    assert ended.returncode == 1
    assert ended.stderr.startswith("standard output or a file: no space left on device")
    assert ended.stderr.count("\n") == 1


NOBODY = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]


def can_be_nobody() -> bool:
    return subprocess.run([*NOBODY, sys.executable, "-c", "import dvc"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_nobody(), reason="this user cannot become another one")
def test_a_user_of_a_number_alone_works_and_is_told_what_may_not_be_read(finished):
    # The folders that pytest makes are its own user's alone.
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        project = Project(Path(parent) / "project")
        shutil.copytree(finished.root, project.root, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
        project.command("chmod", "-R", "a+rwX", ".")

        def nobody(*words: str):
            without = ["env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME"]
            return project.command(*without, *NOBODY, sys.executable, "-m", "pipeline", *words)

        ended = nobody("rerun", "export")
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        hidden = project.run_path("epochs/0002/trained")
        hidden.chmod(0)
        rerun = ["rerun", "train", "--epoch", "2"]
        for words in (["status"], ["run"], ["plan"], rerun, ["verify"], ["remove", "demo", "--yes"]):
            ended = nobody(*words)
            assert ended.returncode == 1, (words, ended)
            assert ended.stderr.count("\n") == 1 and "epochs/0002/trained" in ended.stderr, (words, ended.stderr)
            assert "permission denied" in ended.stderr, (words, ended.stderr)
