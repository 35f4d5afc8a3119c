"""What lies between the commands and a shell: exit status, one line for a refusal, what is printed."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stages.dag.names import HISTORY, LOG
from stages.errors import Refusal, outside
from stages.runtime.streams import flush, silence, stand_in_for_streams

if TYPE_CHECKING:
    from stages.runtime.report import Reporter

# Typer exports no name for it, and newer versions bundle a click of their own.
_Usage: Any = typer.BadParameter.__base__

STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


@dataclass
class Shared:
    """What the options before the command say to `answer`."""

    debug: bool = False


def answer(app: typer.Typer) -> None:
    """Carries out the command line.

    Exit status 0 when all was done, 1 for a refusal, 2 for a wrong command line, 130 when stopped.
    """
    shared = Shared()
    stand_in_for_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _told
        _answer(app, shared)


def _told(message: Warning | str, *_: object, **__: object) -> None:
    _complain(f"warning: {message}")


def _complain(text: str) -> None:
    """On stderr, unless that cannot be written either."""
    try:
        typer.echo(text.encode("utf-8", "backslashreplace").decode(), err=True)
    except OSError:
        silence(sys.stderr)


def _answer(app: typer.Typer, shared: Shared) -> None:
    try:
        # Typer answers an interrupt with a status of its own, or passes it on: both end below.
        if app(standalone_mode=False, obj=shared) == STOPPED:
            raise KeyboardInterrupt
        flush(sys.stdout)
    except _Usage as error:
        # A wrong command line: the parser's message, and where the right one is told.
        where = error.ctx.command_path if error.ctx else "python -m pipeline"
        _complain(f"{error.format_message()} See `{where} --help`.")
        sys.exit(error.exit_code)
    except (Refusal, OSError) as error:
        if shared.debug:
            traceback.print_exc()
        # Where the reader of our output has gone, such as `head`, nobody waits for an answer.
        if not isinstance(error, BrokenPipeError):
            _complain(outside(error) if isinstance(error, OSError) else str(error))
        flush(sys.stdout)
        sys.exit(1)
    except (typer.Abort, KeyboardInterrupt):
        _complain("stopped; the same command goes on")
        sys.exit(STOPPED)


def root() -> Path:
    from stages.dag.folders import find_root

    return find_root(Path.cwd())


def opened(run: str) -> Any:
    from pipeline import open_run

    return open_run(run, root())


def epoch_of(text: str) -> int | str:
    if text == "final" or text.isdecimal():
        return text if text == "final" else int(text)
    raise Refusal(f"{text!r} is no epoch: give a number, or final")


@contextmanager
def chosen(run: Any, epoch: str | None) -> Iterator[int | str]:
    """The epoch that was asked for, or else the last whole one of an opened run.

    Where that is not final it is told, after what was done: of a refusal there is one line.
    """
    if epoch is not None:
        yield epoch_of(epoch)
        return
    latest: int | str = run.latest()
    yield latest
    if latest != "final":
        typer.echo(f"run {run.name} is not finished: this is epoch {latest}, its last whole one", err=True)


def reporter(run: str) -> Reporter:
    from stages.runtime.report import Reporter

    folder = root() / "data/runs" / run
    return Reporter(folder / LOG if folder.exists() else None)


def next_steps(run: str, report: Reporter) -> None:
    option = "" if run == "demo" else f" --run {run}"
    if run == "demo":
        report.say("the paper's tables with its rows: data/tables/tables.html, or python -m pipeline tables")
    if not (root() / "data/runs" / run / HISTORY).exists():
        report.say(f"try: python -m pipeline tables{option}")
        return
    report.say(f"table of epochs: data/runs/{run}/history.csv")
    report.say(f"curves and clusters: data/runs/{run}/figures/")
    report.say(f"try: python -m pipeline show{option}")
    report.say(f"     python -m pipeline nmi{option}")
    report.say(f"     python -c \"from pipeline import open_run; print(open_run('{run}').history())\"")


def print_table(table: Any) -> None:
    from rich.console import Console

    # Piped output is for programs and files: there a row must not wrap at 80 columns.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def escape(name: bytes) -> str:
    from stages.runtime.report import printable

    return printable(os.fsdecode(name))
