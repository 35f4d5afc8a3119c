"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pipeline.recording.inspector import NodeStatus
from stages.dag.nodes import PRUNED
from stages.parameters.evaluation import Evaluation
from stages.runtime.report import printable
from stages.words import plural

if TYPE_CHECKING:
    from pipeline.data import DataState
    from pipeline.results.run import Run

STYLES = {"done": "green", "stale": "yellow", "missing": "dim", "failed": "red"}
SAMPLES = 3


def status_table(states: list[NodeStatus], every: bool) -> Table:
    """A row a folder, its stages with their states; epochs that follow each other in the same state share one.

    Unless `every`, epochs that are all done are only counted.
    """
    rows: dict[str, list[NodeStatus]] = {}
    for status in states:
        rows.setdefault(status.node.folder, []).append(status)
    table = Table("folder", "stages", box=None)
    finished = pruned = 0
    told: list[tuple[str, str, bool]] = []
    for folder, found in rows.items():
        if not every and found[0].node.in_epoch and all(status.state == "done" for status in found):
            finished += 1
            pruned += found[0].node.stage == PRUNED
            continue
        cells = "  ".join(f"[{STYLES[s.state]}]{_stage_state(s)}[/]" for s in found)
        told.append((folder, cells, found[0].node.in_epoch))
    for (cells, _), group in groupby(told, key=lambda row: (row[1], row[2] or row[0])):
        folders = [folder for folder, *_ in group]
        more = f" to {folders[-1].rpartition('/')[2]}" if len(folders) > 1 else ""
        table.add_row(folders[0] + more, cells)
    if finished:
        gone = f", {pruned} of them pruned" if pruned else ""
        table.add_row(plural(finished, "more epoch"), f"[green]all done{gone}[/]")
    return table


def _stage_state(status: NodeStatus) -> str:
    if status.node.stage == PRUNED and status.state == "done":
        return PRUNED
    return f"{status.node.stage} {status.state}"


def clusters_table(run: Run, epoch: int | str, most: int) -> Table:
    """The largest clusters of an epoch, each with the paths closest to its centroid."""
    clusters = run.clusters(epoch).head(most)
    assignments = run.assignments(epoch)
    paths = run.images()["path"].to_numpy()
    labelled = "purity" in clusters
    table = Table("cluster", "size", *(["label", "purity"] if labelled else []), "closest pictures", box=None)
    for row in clusters.to_dict("records"):
        members = assignments[assignments["cluster"] == row["cluster"]].nsmallest(SAMPLES, "distance")
        samples = "  ".join(printable(paths[image]) for image in members["image"])
        cells: list[Any] = [str(row["cluster"]), str(row["size"])]
        if labelled:
            cells += [Text(printable(str(row["label"]))), f"{row['purity']:.2f}"]
        table.add_row(*cells, Text(samples))
    return table


def pictures_table(frame: Any) -> Table:
    """A row a picture: the frame's columns, numbers to three digits, the path last."""
    columns = [name for name in frame.columns if name != "path"] + ["path"]
    table = Table(*columns, box=None)
    for row in frame[columns].to_dict("records"):
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def compared_table(frame: Any) -> Table:
    """Runs beside each other, a column each; a row a parameter that differs, and a measure."""
    table = Table("", *frame.index, box=None)
    from pipeline.comparison import MEASURED

    for name in frame.columns:
        # Measures to three digits, parameters as they were given: 1e-05 is not 0.
        values = (
            frame[name] if name in MEASURED else frame[name].map(lambda value: None if value is None else str(value))
        )
        table.add_row(name, *(_cell(value) for value in values))
    return table


def data_table(found: list[DataState]) -> Table:
    """A row a set: where it lies and what is there, in red where something is missing, and who uses it."""
    table = Table("set", "what is there", "used by", box=None)
    for state in found:
        told = Text(f"{printable(state.path)}\n")
        told.append(printable(state.told), "green" if state.ready else "red")
        users = [("run", state.runs), ("evaluation", state.evaluations)]
        lines = [f"{what}{'s' * (len(names) > 1)} {', '.join(names)}" for what, names in users if names]
        table.add_row(Text(state.key), told, Text("\n".join(lines) or "nothing"))
    return table


def costs_table(root: Path, evaluations: Iterable[Evaluation]) -> Table:
    """What each evaluation takes: steps of training, images through the network, GB of data to pack."""
    from pipeline.cost import cost

    table = Table("evaluation", "protocol", "steps", "images", "GB to pack", box=None)
    for evaluation in evaluations:
        found = cost(root, evaluation)
        numbers = f"{found.steps:,}", f"{found.images:,}", f"{found.gigabytes:.1f}"
        table.add_row(evaluation.name, evaluation.params.protocol, *numbers)
    return table


def _cell(value: Any) -> Text:
    if value is None or value != value:
        return Text("-")
    return Text(f"{value:.3f}" if isinstance(value, float) else printable(str(value)))
