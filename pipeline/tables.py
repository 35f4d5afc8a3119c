"""`tables`: the paper's tables, with the rows of runs that have results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.machine import refuse_unwritable
from pipeline.results.evaluations import EvaluationFiles, evaluated, outdated, record_of
from pipeline.settings import Settings
from stages.dag.folders import RUNS, evaluation_folder, run_folder
from stages.dag.names import RESULT, TABLES
from stages.errors import Refusal
from stages.parameters.named import no_run
from stages.protocols.paper_tables import Table, paper_tables


def tables(root: Path, runs: Sequence[str], number: int | None = None) -> tuple[list[Table], list[str]]:
    """The paper's tables, with rows for the results that are the recorded ones.

    Args:
        runs: those to show; none: every run that has results, in the order of params.yaml.
        number: of the one table that is wanted.

    Returns:
        The tables, and a line for each result that is left out.

    Raises:
        Refusal: a run is unknown, or nothing was measured.
    """
    settings = Settings(root)
    known = settings.runs()
    begun = sorted(path.name for path in (root / RUNS).glob("*") if path.is_dir())
    for run in runs:
        if run not in {*known, *begun}:
            raise no_run(run, known)
        if not evaluated(root / run_folder(run)):
            raise Refusal(f"run {run} has no results: `python -m pipeline evaluate --run {run}` measures it")
    results, left_out = [], []
    for run in dict.fromkeys(runs or (*known, *begun)):
        for name in _in_order(settings, run, evaluated(root / run_folder(run))):
            folder = evaluation_folder(run, name)
            why = outdated(root, run, name)
            if not record_of(root / folder):
                why = f"is not what was recorded: `python -m pipeline evaluate --run {run} {name}` measures it again"
            if why:
                left_out.append(f"left out: {folder}/{RESULT} {why}")
            else:
                results.append(EvaluationFiles(root / run_folder(run), name).result)
    if not results:
        first = f" ({left_out[0]})" if left_out else ""
        raise Refusal(
            f"nothing was measured yet{first}: `python -m pipeline run` measures the demo, and "
            "`python -m pipeline evaluate --run NAME` any other finished run"
        )
    made = paper_tables(results)
    return (made if number is None else [made[number - 1]]), left_out


def refuse_folder(root: Path, folder: Path) -> None:
    """Refuses, before any work, a folder that tables cannot be written into, or the one that `dvc repro` fills."""
    if folder.resolve() == (root / TABLES).resolve():
        raise Refusal(f"{folder} is what `dvc repro` makes of the demo's results: name another folder")
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder} is a file: name a folder")
    if not folder.exists() and not folder.absolute().parent.is_dir():
        raise Refusal(f"{folder} cannot be made: name one in a folder that exists")
    refuse_unwritable(folder.absolute())


def _in_order(settings: Settings, run: str, names: list[str]) -> list[str]:
    """The evaluations of a run as params.yaml names them, then the others."""
    named = [name for name in settings.evaluations_of(run) if name in names]
    return [*named, *(name for name in names if name not in named)]
