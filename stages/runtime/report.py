"""What a run tells: rich progress on a terminal, plain lines elsewhere, and everything in log.txt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

from stages.runtime.streams import flush, silence
from stages.words import duration

T = TypeVar("T")

PLAIN_INTERVAL = 15.0
"""Seconds between two plain lines about the same loop."""


class _Lasting:
    """A terminal that may go while it is written to: what is being computed is worth more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        flush(self._stream)


class Reporter:
    """Tells lines and progress; `log` is a file that receives the lines too, with their time."""

    def __init__(self, log: Path | None = None, stream: TextIO | None = None) -> None:
        self.log = log
        self.stream = stream or sys.stdout
        self._bar: Any = None

    def __enter__(self) -> Reporter:
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(file=cast(TextIO, _Lasting(self.stream))),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        self.note(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._print(text)

    def _print(self, text: str) -> None:
        try:
            print(text, file=self.stream, flush=True)
        except UnicodeEncodeError as error:
            letters = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            self._print(letters)
        except (OSError, ValueError):
            # The reader has gone, such as `head`, the disk is full, or the stream is closed. What is being computed is
            # worth more, and log.txt has what is told.
            silence(self.stream)

    def note(self, text: str) -> None:
        """Into log.txt alone."""
        if self.log is None:
            return
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
        except OSError:
            # A full disk must be told on the terminal, not hidden behind a log that cannot grow.
            pass

    def progress(self, items: Iterable[T], what: str, total: int | None, count: Callable[[T], int]) -> Iterator[T]:
        """Yields `items`, telling how far it is; an item counts as `count` says."""
        if self._bar is not None:
            task = self._bar.add_task(what, total=total)
            try:
                for item in items:
                    yield item
                    self._bar.advance(task, count(item))
            finally:
                self._bar.remove_task(task)
            return
        started = told = time.monotonic()
        done = 0
        for item in items:
            yield item
            done += count(item)
            now = time.monotonic()
            if now - told >= PLAIN_INTERVAL:
                told = now
                self._print(_plain(what, done, total, now - started))


def _plain(what: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / seconds
    told = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
    if total is None:
        return f"{what}: {done:,}, {told}"
    return f"{what}: {done:,} of {total:,}, {told}, {duration((total - done) / rate)} left"


def printable(path: str) -> str:
    """A path for people: bytes that are no text, and control characters, as escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, what: str) -> str:
    """ "1 picture", "2,000 pictures"."""
    return f"{count:,} {what}{'s' * (count != 1)}"
