"""Commands that look at runs, or take something from them, and change none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunName, Save, WholeEpoch
from pipeline.cli.terminal import chosen, epoch_of, escape, opened, print_table, reporter, root
from stages.errors import Refusal
from stages.words import plural

app = typer.Typer()


@app.command()
def show(
    run: RunName = "demo",
    epoch: WholeEpoch = None,
    cluster: Annotated[int | None, typer.Option("--cluster", help="Show the pictures of this cluster.")] = None,
    save: Save = None,
    most: Annotated[
        int | None,
        typer.Option("--most", min=1, help="Clusters, largest first (20); of --cluster pictures, typical first (120)."),
    ] = None,
) -> None:
    """Show an epoch's clusters: sizes, purity where there are labels, sample paths; or one cluster's pictures.

    Example: `python -m pipeline show --epoch 3 --cluster 17 --save sheet.png`
    """
    from pipeline.cli.tables import clusters_table, pictures_table
    from pipeline.show import cluster_of, members, save_sheet

    here = opened(run)
    with chosen(here, epoch) as when:
        if cluster is None:
            every = here.clusters(when)
            shown, table, count = every.head(most or 20), clusters_table(here, when, most or 20), len(every)
            what = "cluster"
        else:
            shown = cluster_of(here, when, cluster)
            table, count = pictures_table(members(here, when, cluster, most or 120)), int(shown["size"].iloc[0])
            what = "picture"
        if save is not None:
            save_sheet(here, when, shown, save, most or 120 if cluster is not None else None)
        print_table(table)
        if table.row_count < count:
            typer.echo(f"{plural(count - table.row_count, f'more {what}')}: --most {count}", err=True)


@app.command()
def groups(
    run: RunName = "demo",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A table: .csv, .parquet or .pq.")] = None,
    link: Annotated[
        Path | None, typer.Option("--link", help="A new folder: in it a folder a cluster, with links to its pictures.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="With --link: copies in place of links.")] = False,
    epoch: WholeEpoch = None,
) -> None:
    """Take the groups away: a table of path, image, cluster, distance; or a folder a cluster.

    Example: `python -m pipeline groups --run mine -o groups.csv`
    """
    from pipeline.groups import link_groups, write_groups

    if out is None and link is None:
        raise Refusal("groups needs a file or folder to write: -o groups.csv, or --link FOLDER")
    if copy and link is None:
        raise Refusal("--copy goes with --link FOLDER")
    here = opened(run)
    with chosen(here, epoch) as when, reporter(run) as report:
        if out is not None:
            report.say(write_groups(here, out, when))
        if link is not None:
            for line in link_groups(here, link, when, copy=copy):
                report.say(line)


@app.command()
def similar(
    picture: Annotated[str, typer.Argument(help="A picture's file, or a path that `show` lists.")],
    run: RunName = "demo",
    n: Annotated[int, typer.Option("-n", min=1, help="Pictures to find.")] = 12,
    save: Save = None,
    epoch: WholeEpoch = None,
) -> None:
    """Find the pictures of a run that are closest to a given one: exact, by the features as they are clustered.

    Example: `python -m pipeline similar --run mine ~/photos/cat.jpg -n 20 --save sheet.png`
    """
    from pipeline.cli.tables import pictures_table
    from pipeline.similar import similar as closest

    here = opened(run)
    with chosen(here, epoch) as when:
        print_table(pictures_table(closest(here, picture, n, when, save)))


@app.command()
def embed(
    images: Annotated[Path, typer.Argument(help="Folder of pictures, a text file of paths, or one picture.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write: .csv, .parquet or .pq.")],
    run: RunName = "demo",
    epoch: WholeEpoch = None,
) -> None:
    """Give new pictures the clusters of a run: path, cluster, distance, embedding.

    Example: `python -m pipeline embed --run mine ~/more-photos -o out.parquet`
    """
    from pipeline.embed import embed as through
    from stages.runtime.report import counted

    with reporter(run) as report:
        found = through(root(), run, images, out, report, None if epoch is None else epoch_of(epoch))
        for name, reason in found.rejected:
            report.say(f"rejected: {escape(name)}: {reason}")
        report.say(f"{counted(found.count, 'picture')} in {out}, {len(found.rejected):,} rejected")


@app.command()
def weights(
    torchvision: Annotated[Path, typer.Option("--torchvision", help="The file to write: .pth, .pt or .safetensors.")],
    run: RunName = "demo",
    epoch: WholeEpoch = None,
) -> None:
    """Write a run's weights under torchvision's names, where torchvision has the network.

    `model.safetensors` in the run's folder holds them under our names, and says itself what it is.

    Example: `python -m pipeline weights --run mine --torchvision resnet50.pth`
    """
    from pipeline.weights import write_torchvision

    here = opened(run)
    with chosen(here, epoch) as when, reporter(run) as report:
        report.say(write_torchvision(here, torchvision, when))


@app.command()
def nmi(
    run: RunName = "demo",
    a: Annotated[str | None, typer.Option("--a", help="One epoch.")] = None,
    b: Annotated[str | None, typer.Option("--b", help="Another epoch.")] = None,
) -> None:
    """Tell the NMI of each clustering to the one before and to labels, or between two epochs.

    Example: `python -m pipeline nmi --a 3 --b final`
    """
    found = opened(run).nmi(None if a is None else epoch_of(a), None if b is None else epoch_of(b))
    if a is None:
        typer.echo(found.to_string(index=False, float_format="%.4f", na_rep="-"))
    else:
        typer.echo("both are a single cluster" if found is None else f"{found:.4f}")


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Runs to compare.", metavar="RUN...")],
) -> None:
    """Compare runs: parameters that differ, final measures, epochs, minutes.

    Example: `python -m pipeline compare demo slow`
    """
    from pipeline.cli.tables import compared_table
    from pipeline.comparison import compare as beside

    print_table(compared_table(beside(*names, root=root())))


@app.command()
def runs() -> None:
    """List the runs: data set, epochs, NMI, size on disk.

    Example: `python -m pipeline runs`
    """
    from pipeline.results.inventory import runs as listed

    typer.echo(listed(root()).to_string(index=False, float_format="%.3f", na_rep="-"))
