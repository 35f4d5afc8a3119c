"""Commands that measure what a run has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunName, Yes
from pipeline.cli.terminal import print_table, reporter, root

app = typer.Typer()


@app.command()
def evaluate(
    names: Annotated[
        list[str] | None, typer.Argument(help="Keys of `evaluations`; without any, those that the run names.")
    ] = None,
    run: RunName = "demo",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only tell how many steps, images and GB that is.")] = False,
    yes: Yes = False,
) -> None:
    """Measure the finished network of a run by protocols of the paper's section 4; train nothing of it again.

    Example: `python -m pipeline evaluate --run mine imagenet-linear`
    """
    from pipeline.evaluate import evaluate as measure
    from pipeline.evaluate import prepare

    if dry:
        from pipeline.cli.tables import costs_table

        print_table(costs_table(root(), prepare(root(), run, names or []).params.evaluations))
        return
    with reporter(run) as report:
        measure(root(), run, names or [], report, yes=yes)


@app.command()
def tables(
    runs: Annotated[
        list[str] | None, typer.Option("--run", help="A run to show; repeatable. By default all that have results.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A folder, for CSV, Markdown and a page for a browser.")
    ] = None,
    number: Annotated[int | None, typer.Option("--table", min=1, max=5, help="One of the five alone.")] = None,
) -> None:
    """Show Tables 1 to 5 of the paper with the rows of runs below those that are quoted.

    Example: `python -m pipeline tables --run mine -o tables`
    """
    from pipeline.cli.paper_tables import Printed
    from pipeline.tables import refuse_folder
    from pipeline.tables import tables as made
    from stages.artifacts.paper_tables import write_tables

    if out is not None:
        refuse_folder(root(), out)
    found, left_out = made(root(), runs or [], number)
    for table in found:
        print_table(Printed(table))
    for line in left_out:
        typer.echo(line, err=True)
    if out is not None:
        files = write_tables(out, found)
        typer.echo(f"{len(files)} files in {out}; for a browser: {files[-1]}")


@app.command()
def data() -> None:
    """Tell of each data set and evaluation set what lies there, what is missing, and what it is used by.

    Example: `python -m pipeline data`
    """
    from pipeline.cli.tables import data_table
    from pipeline.data import data as found

    print_table(data_table(found(root())))
