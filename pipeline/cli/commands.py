"""The command line: `python -m pipeline COMMAND`. Heavy imports wait until a command needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import looking, measuring
from pipeline.cli.options import Epochs, RunName, Sets, Yes, requested
from pipeline.cli.terminal import (
    Shared,
    answer,
    next_steps,
    print_table,
    reporter,
    root,
)
from stages.dag.declared import names
from stages.errors import Refusal
from stages.words import plural

if TYPE_CHECKING:
    from pipeline.preparing import Request
    from stages.runtime.report import Reporter

app = typer.Typer(
    help="DeepCluster (Caron et al., ECCV 2018) as persisted stages: cluster the features of all images, train "
    "the network on the clusters, again and again, with every step on disk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"deepcluster-pipeline {version('deepcluster-pipeline')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with every error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    context.ensure_object(Shared).debug = debug


@app.command()
@requested
def run(request: Request, report: Reporter) -> None:
    """Compute a run: every stage that is not up to date, in one process, each recorded in DVC.

    Stopped or killed, the same command goes on where it was.

    Example: `python -m pipeline run --run mine --images ~/photos --epochs 20`
    """
    from pipeline.run import run as compute

    compute(root(), request, report)
    next_steps(request.run, report)


@app.command()
@requested
def plan(request: Request, report: Reporter) -> None:
    """Write the dvc.yaml of each epoch, for `dvc repro`; compute nothing.

    Example: `python -m pipeline plan --epochs 40`
    """
    from pipeline.plan import plan as write

    planned = write(root(), request, report)
    report.say(
        f"{plural(len(planned.written), 'dvc.yaml file')} written, {planned.kept} kept, {len(planned.removed)} removed"
    )


@app.command()
def status(run: RunName = "demo", every: Annotated[bool, typer.Option(help="List done stages too.")] = False) -> None:
    """Tell which stages are done, stale, missing or failed, epoch by stage.

    Example: `python -m pipeline status --run demo`
    """
    from pipeline.cli.tables import status_table
    from pipeline.drift import Source, drift
    from pipeline.recording.inspector import of_run
    from pipeline.recording.planning import half_pruned_epochs
    from pipeline.settings import Settings
    from stages.dag.epochs import spans
    from stages.dag.nodes import PRUNED

    here = root()
    params = Settings(here).resolve(run)
    states = of_run(here, params)
    print_table(status_table(states, every))
    for state in states:
        if state.state == "failed":
            typer.echo(f"{state.node.id} failed: {state.why}")
    pruned = [state.node.epoch for state in states if state.node.stage == PRUNED and state.node.epoch]
    if pruned:
        typer.echo(f"epochs pruned: {spans(pruned)}")
    for epoch in half_pruned_epochs(here, params):
        typer.echo(f"epoch {epoch} is pruned by half: `python -m pipeline prune --run {run}` goes on with it")
    first = next((state for state in states if state.state != "done"), None)
    if first:
        typer.echo(f"next: {first.node.id} ({first.state}: {first.why}); `python -m pipeline run --run {run}`")
    else:
        typer.echo(f"run {run}: all {plural(len(states), 'stage')} are done")
    if params.dataset and (changed := drift(Source(here, params.dataset))):
        typer.echo(changed)


@app.command()
def prune(
    run: RunName = "demo",
    set: Annotated[
        list[str] | None, typer.Option("--set", help="retain.last=N or retain.every=M; kept in params.yaml.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
) -> None:
    """Drop features, whitened rows, trained/ and checkpoint of the finished epochs that `retain` does not keep.

    Assignments, centroids, pca, pseudo-labels and metrics of every epoch stay. `run` does it as it goes on.

    Example: `python -m pipeline prune --set retain.last=2 --dry-run`
    """
    from pipeline.prune import prune as drop

    with reporter(run) as report:
        freed = drop(root(), run, set or [], dry, report)
        report.say(freed.told(run, "would be pruned" if dry else "pruned"))


@app.command()
def rerun(
    stage: Annotated[str, typer.Argument(help=f"One of {', '.join(names())}.")],
    run: RunName = "demo",
    epoch: Annotated[str | None, typer.Option("--epoch", help="Number of the epoch, or final.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="For pack: the data set.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Run what depends on it too.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Replace pictures that changed, also those of recorded epochs.")
    ] = False,
) -> None:
    """Run one stage again, up to date or not.

    Example: `python -m pipeline rerun cluster --epoch 3 --follow`
    """
    from pipeline.rerun import rerun as again
    from pipeline.rerun import rerun_pack

    with reporter(run) as report:
        if dataset is not None:
            if stage != "pack":
                raise Refusal(f"--dataset goes with pack, not with {stage}")
            rerun_pack(root(), dataset, report, yes=yes)
        else:
            again(root(), run, stage, epoch, follow, report, yes=yes)


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
    from pipeline.branch import branch as create

    params = create(root(), source, run, set or [], epochs)
    typer.echo(
        f"run {run} starts from {source} and goes to epoch {params.epochs}: `python -m pipeline run --run {run}`"
    )


@app.command()
def remove(
    run: Annotated[str, typer.Argument(help="Name of the run, or with --pictures of a data set left of one.")],
    yes: Yes = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Its packed pictures too, if no other run has them; never your own.")
    ] = False,
) -> None:
    """Delete a run and its entry in params.yaml; packed pictures stay, unless they are to go too.

    Example: `python -m pipeline remove slower --yes`
    """
    from pipeline.remove import remove as delete

    left = delete(root(), run, yes=yes, pictures=pictures)
    offer = f"`python -m pipeline remove {left} --pictures --yes` deletes them"
    typer.echo(f"run {run} is deleted" + (f"; its packed pictures stay: {offer}" if left else ""))


@app.command()
def verify(run: RunName = "demo") -> None:
    """Hash every artifact and compare with what was recorded; exit status 1 where one differs.

    Example: `python -m pipeline verify --run demo`
    """
    from pipeline.verify import verify as check

    with reporter(run) as report:
        wrong = check(root(), run, report)
    if wrong:
        differ = plural(len(wrong), "artifact differs", "artifacts differ")
        raise Refusal(f"{differ} from what was recorded; first: {wrong[0]}")


app.add_typer(looking.app)
app.add_typer(measuring.app)


def main() -> None:
    answer(app)
