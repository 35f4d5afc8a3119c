"""stages/runtime/report.py: plain lines where there is no terminal, a log that cannot stop the work."""

import io
import os
import re

import pytest

from stages.runtime import report
from stages.runtime.report import Reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_go_to_the_stream_as_they_are_and_to_the_log_with_their_time(tmp_path):
    stream = io.StringIO()
    with Reporter(tmp_path / "new/log.txt", stream) as told:
        told.say("rank 100 of 256")
        told.note("only here")
    assert stream.getvalue() == "rank 100 of 256\n"
    lines = (tmp_path / "new/log.txt").read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == ["rank 100 of 256", "only here"]
    assert all(line[4] == "-" for line in lines)


def test_the_log_is_added_to(tmp_path):
    for text in ("first", "second"):
        Reporter(tmp_path / "log.txt", io.StringIO()).note(text)
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_does_not_hide_the_line(tmp_path):
    """On a full disk the terminal must still say so."""
    stream = io.StringIO()
    Reporter(tmp_path, stream).say("no space left on device")
    assert stream.getvalue() == "no space left on device\n"


def test_a_reader_that_has_gone_stops_nothing_and_the_log_goes_on(tmp_path):
    reader, writer = os.pipe()
    with open(writer, "w") as stream:
        told = Reporter(tmp_path / "log.txt", stream)
        told.say("read")
        os.close(reader)
        for line in ("first", "second"):
            told.say(line)
    assert [line[20:] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["read", "first", "second"]


def test_a_terminal_that_has_gone_stops_nothing_and_the_log_goes_on(tmp_path):
    ours, theirs = os.openpty()
    with open(theirs, "w") as stream, Reporter(tmp_path / "log.txt", stream) as told:
        told.say("read")
        os.close(ours)
        for number in told.progress(range(2), "what", 2, lambda _: 1):
            told.say(f"line {number}")
    lines = [line[20:] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert lines == ["read", "line 0", "line 1"]


def test_a_name_that_is_not_utf8_can_be_logged(tmp_path):
    Reporter(tmp_path / "log.txt", io.StringIO()).note("caf\udce9.jpg")
    assert "caf\\udce9.jpg" in (tmp_path / "log.txt").read_text()


def test_plain_progress_has_no_control_characters_and_says_what_is_left(monkeypatch):
    monkeypatch.setattr(report, "PLAIN_INTERVAL", 0.0)
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(report.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    told = Reporter(stream=stream)
    assert list(told.progress([3, 5, 2], "epoch 1 train", 10, lambda item: item)) == [3, 5, 2]
    # By hand: 3 of 10 after 2 s are 1.5/s, 7 / 1.5 = 4.7 s; 8 after 4 s are 2/s, 1 s left.
    assert stream.getvalue().splitlines()[:2] == [
        "epoch 1 train: 3 of 10, 1.5/s, 5 s left",
        "epoch 1 train: 8 of 10, 2/s, 1 s left",
    ]


def test_short_loops_tell_nothing():
    stream = io.StringIO()
    assert list(Reporter(stream=stream).progress(range(5), "epoch 1 whiten", 5, lambda _: 1)) == [0, 1, 2, 3, 4]
    assert stream.getvalue() == ""


def test_a_terminal_shows_progress_and_lines_with_brackets_as_they_are():
    stream = Terminal()
    with Reporter(stream=stream) as told:
        for _ in told.progress(range(3), "epoch 1 train", 3, lambda _: 1):
            told.say("[bold] of a [/nonsense] file")
    assert "[bold] of a [/nonsense] file" in stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_an_error_in_the_loop_comes_through(stream):
    with pytest.raises(ZeroDivisionError), Reporter(stream=stream()) as told:
        for _ in told.progress((1 // n for n in (1, 0)), "epoch 1 train", 2, lambda _: 1):
            pass
