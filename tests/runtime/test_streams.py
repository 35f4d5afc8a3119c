"""stages/runtime/streams.py and report.py: whatever standard output is, work goes on and log.txt has every line."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from projects import ROOT

from stages.runtime.report import Reporter


def logged(path) -> list[str]:
    return [line[20:] for line in path.read_text(encoding="utf-8").splitlines()]


def test_letters_that_the_output_lacks_are_escaped(tmp_path):
    raw = io.BytesIO()
    told = Reporter(tmp_path / "log.txt", io.TextIOWrapper(raw, encoding="ascii"))
    told.say("rejected: фото.jpg")
    told.say("next")
    assert raw.getvalue() == b"rejected: \\u0444\\u043e\\u0442\\u043e.jpg\nnext\n"
    assert logged(tmp_path / "log.txt") == ["rejected: фото.jpg", "next"]


def test_a_full_disk_behind_the_output_stops_nothing(tmp_path):
    with open("/dev/full", "w") as stream:
        told = Reporter(tmp_path / "log.txt", stream)
        for line in ("first", "second"):
            told.say(line)
    assert logged(tmp_path / "log.txt") == ["first", "second"]


def test_a_closed_output_stops_nothing(tmp_path):
    stream = io.StringIO()
    stream.close()
    Reporter(tmp_path / "log.txt", stream).say("first")
    assert logged(tmp_path / "log.txt") == ["first"]


SAYS = """
import sys
from pathlib import Path
from stages.runtime.report import Reporter
from stages.runtime.streams import stand_in_for_streams
stand_in_for_streams()
file = open(sys.argv[1] + ".data", "w")
with Reporter(Path(sys.argv[1])) as told:
    told.say("фото")
print("done")
"""


@pytest.mark.parametrize("redirected", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full"])
def test_a_process_ends_well_whatever_a_shell_gives_it(tmp_path, redirected):
    words = [sys.executable, "-c", SAYS, str(tmp_path / "log.txt")]
    environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT), "PATH": ""}
    ended = subprocess.run(["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *words], env=environment, cwd=ROOT)
    assert ended.returncode == 0 or "/dev/full" in redirected
    assert logged(tmp_path / "log.txt") == ["фото"]
    # Nothing that was printed went into a file that was given the closed descriptor.
    assert (tmp_path / "log.txt.data").read_text() == ""
