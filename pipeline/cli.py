"""The command line: `python -m pipeline COMMAND`. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stages.errors import Refusal

if TYPE_CHECKING:
    from stages.report import Reporter

app = typer.Typer(
    help="DeepCluster (Caron et al., ECCV 2018) as persisted stages: cluster the features of all images, train "
    "the network on the clusters, again and again, with every step on disk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

# Typer exports no name for it, and newer versions bundle a click of their own.
_Usage: Any = typer.BadParameter.__base__

RunName = Annotated[str, typer.Option("--run", help="Name of the run, under data/runs.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter as key=value, such as train.lr=0.1; repeatable."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=0, help="Epochs in all; kept in params.yaml.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Pictures of a new run: a folder, or a text file with a path a line."),
]
Preset = Annotated[str, typer.Option("--preset", help="Values of a new run: fit (to its pictures) or paper.")]
Yes = Annotated[bool, typer.Option("--yes", help="Recompute recorded epochs, or delete, without asking.")]


STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


@dataclass
class Shared:
    """What the options before the command say to `main`."""

    debug: bool = False


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with every error.")] = False,
) -> None:
    context.ensure_object(Shared).debug = debug


@app.command()
def run(
    run: RunName = "demo",
    epochs: Epochs = None,
    images: Images = None,
    set: Sets = None,
    preset: Preset = "fit",
    yes: Yes = False,
) -> None:
    """Compute a run: every stage that is not up to date, in one process, each recorded in DVC.

    Stopped or killed, the same command goes on where it was.

    Example: `python -m pipeline run --run mine --images ~/photos --epochs 20`
    """
    from pipeline.running import run as compute

    with _reporter(run) as report:
        compute(_root(), _request(run, epochs, images, set, preset, yes), report)
        _next_steps(run, report)


@app.command()
def plan(
    run: RunName = "demo",
    epochs: Epochs = None,
    images: Images = None,
    set: Sets = None,
    preset: Preset = "fit",
    yes: Yes = False,
) -> None:
    """Write the dvc.yaml of each epoch, for `dvc repro`; compute nothing.

    Example: `python -m pipeline plan --epochs 40`
    """
    from pipeline.running import plan as write

    with _reporter(run) as report:
        planned = write(_root(), _request(run, epochs, images, set, preset, yes), report)
        report.say(
            f"{len(planned.written)} dvc.yaml files written, {planned.kept} kept, {len(planned.removed)} removed"
        )


@app.command()
def status(run: RunName = "demo", every: Annotated[bool, typer.Option(help="List done stages too.")] = False) -> None:
    """Tell which stages are done, stale, missing or failed, epoch by stage.

    Example: `python -m pipeline status --run demo`
    """
    from pipeline.settings import Settings
    from pipeline.sources import drift
    from pipeline.status import of_run
    from pipeline.tables import status_table

    root = _root()
    params = Settings(root).resolve(run)
    states = of_run(root, params)
    _print(status_table(states, every))
    for state in states:
        if state.state == "failed":
            typer.echo(f"{state.node.id} failed: {state.why}")
    first = next((state for state in states if state.state != "done"), None)
    if first:
        typer.echo(f"next: {first.node.id} ({first.state}: {first.why}); `python -m pipeline run --run {run}`")
    else:
        typer.echo(f"run {run}: all {len(states)} stages are done")
    if changed := drift(root, params.dataset):
        typer.echo(changed)


@app.command()
def rerun(
    stage: Annotated[str, typer.Argument(help="extract, whiten, cluster, pseudolabel, train, checkpoint, pack, …")],
    run: RunName = "demo",
    epoch: Annotated[str | None, typer.Option("--epoch", help="Number of the epoch, or final.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="For pack: the data set.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Run what depends on it too.")] = False,
) -> None:
    """Run one stage again, up to date or not.

    Example: `python -m pipeline rerun cluster --epoch 3 --follow`
    """
    from pipeline.running import rerun as again
    from pipeline.running import rerun_pack

    with _reporter(run) as report:
        if dataset is not None:
            if stage != "pack":
                raise Refusal(f"--dataset goes with pack, not with {stage}")
            rerun_pack(_root(), dataset, report)
        else:
            again(_root(), run, stage, epoch, follow, report)


@app.command()
def embed(
    images: Annotated[Path, typer.Argument(help="Folder of pictures, or a text file of paths.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The parquet file to write.")],
    run: RunName = "demo",
) -> None:
    """Give new pictures the clusters of a finished run: path, cluster, distance, embedding.

    Example: `python -m pipeline embed --run mine ~/more-photos -o out.parquet`
    """
    from pipeline.embedding import embed as through

    with _reporter(run) as report:
        found = through(_root(), run, images, out, report)
        for name, reason in found.rejected:
            report.say(f"rejected: {_printable(name)}: {reason}")
        report.say(f"{found.count:,} pictures in {out}, {len(found.rejected):,} rejected")


@app.command()
def branch(
    source: Annotated[str, typer.Option("--from", help="RUN@EPOCH to start from.")],
    run: Annotated[str, typer.Option("--run", help="Name of the new run.")],
    set: Sets = None,
    epochs: Epochs = None,
) -> None:
    """Start a new run from an epoch of another, with other parameters from there on.

    Example: `python -m pipeline branch --from demo@20 --run slower --set train.lr=0.01`
    """
    from pipeline.branching import branch as create

    params = create(_root(), source, run, set or [], epochs)
    typer.echo(
        f"run {run} starts from {source} and goes to epoch {params.epochs}: `python -m pipeline run --run {run}`"
    )


@app.command()
def show(
    run: RunName = "demo",
    epoch: Annotated[str, typer.Option("--epoch", help="Number of the epoch, or final.")] = "final",
    most: Annotated[int, typer.Option("--most", min=1, help="Clusters to show, largest first.")] = 20,
) -> None:
    """Show an epoch's clusters: sizes, purity where there are labels, sample paths.

    Example: `python -m pipeline show --epoch 3`
    """
    from pipeline.tables import clusters_table

    _print(clusters_table(_open(run), _epoch(epoch), most))


@app.command()
def nmi(
    run: RunName = "demo",
    a: Annotated[str | None, typer.Option("--a", help="One epoch.")] = None,
    b: Annotated[str | None, typer.Option("--b", help="Another epoch.")] = None,
) -> None:
    """Tell the NMI of each clustering to the one before and to labels, or between two epochs.

    Example: `python -m pipeline nmi --a 3 --b final`
    """
    found = _open(run).nmi(None if a is None else _epoch(a), None if b is None else _epoch(b))
    if a is None:
        typer.echo(found.to_string(index=False, float_format="%.4f", na_rep="-"))
    else:
        typer.echo("both are a single cluster" if found is None else f"{found:.4f}")


@app.command()
def runs() -> None:
    """List the runs: data set, epochs, NMI, size on disk.

    Example: `python -m pipeline runs`
    """
    from pipeline.access import runs as listed

    typer.echo(listed(_root()).to_string(index=False, float_format="%.3f", na_rep="-"))


@app.command()
def remove(run: Annotated[str, typer.Argument(help="Name of the run.")], yes: Yes = False) -> None:
    """Delete a run and its entry in params.yaml; packed pictures stay.

    Example: `python -m pipeline remove slower --yes`
    """
    from pipeline.branching import remove as delete

    if not yes:
        raise Refusal(f"this deletes data/runs/{run} for good: add --yes")
    delete(_root(), run)
    typer.echo(f"run {run} is deleted")


@app.command()
def verify(run: RunName = "demo") -> None:
    """Hash every artifact and compare with what was recorded; exit status 1 where one differs.

    Example: `python -m pipeline verify --run demo`
    """
    from pipeline.verification import verify as check

    with _reporter(run) as report:
        wrong = check(_root(), run, report)
    if wrong:
        raise Refusal(f"{len(wrong)} artifacts differ from what was recorded; first: {wrong[0]}")


def _root() -> Path:
    from stages.artifacts import find_root

    return find_root(Path.cwd())


def _open(run: str) -> Any:
    from pipeline import open_run

    return open_run(run, _root())


def _epoch(text: str) -> int | str:
    if text == "final" or text.isdecimal():
        return text if text == "final" else int(text)
    raise Refusal(f"{text!r} is no epoch: give a number, or final")


def _reporter(run: str) -> Reporter:
    from stages.report import Reporter

    folder = _root() / "data/runs" / run
    return Reporter(folder / "log.txt" if folder.exists() else None)


def _request(run: str, epochs: int | None, images: Path | None, sets: list[str] | None, preset: str, yes: bool) -> Any:
    from pipeline.presets import PRESETS
    from pipeline.running import Request

    if preset not in PRESETS:
        raise Refusal(f"--preset {preset}: one of {', '.join(PRESETS)}")
    if images is not None and run == "demo":
        raise Refusal("--images needs a name for its run: --run NAME")
    return Request(run, epochs, images, preset, sets or [], yes)


def _next_steps(run: str, report: Reporter) -> None:
    option = "" if run == "demo" else f" --run {run}"
    report.say(f"table of epochs: data/runs/{run}/history.csv")
    if run == "demo":
        report.say("curves: data/figures/curves.png, clusters: data/figures/clusters.png")
    report.say(f"try: python -m pipeline show{option}")
    report.say(f"     python -m pipeline nmi{option}")
    report.say(f"     python -c \"from pipeline import open_run; print(open_run('{run}').history())\"")


def _print(table: Any) -> None:
    from rich.console import Console

    # Piped output is for programs and files: there a row must not wrap at 80 columns.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _printable(name: bytes) -> str:
    from pipeline.tables import printable

    return printable(os.fsdecode(name))


def main() -> None:
    """Exit status 0 when all was done, 1 for a refusal, 2 for a wrong command line, 130 when stopped."""
    shared = Shared()
    try:
        # Typer answers an interrupt with a status of its own, or passes it on: both end below.
        if app(standalone_mode=False, obj=shared) == STOPPED:
            raise KeyboardInterrupt
    except _Usage as error:
        # A wrong command line: the parser's message, and where the right one is told.
        where = error.ctx.command_path if error.ctx else "python -m pipeline"
        typer.echo(f"{error.format_message()} See `{where} --help`.", err=True)
        sys.exit(error.exit_code)
    except Refusal as refusal:
        if shared.debug:
            traceback.print_exc()
        typer.echo(str(refusal).encode("utf-8", "backslashreplace").decode(), err=True)
        sys.exit(1)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("stopped; the same command goes on", err=True)
        sys.exit(STOPPED)
