"""`evaluate`: measures the finished network of a run by protocols of section 4, and trains nothing of it again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluation_data import lacking, refuse_unfit
from pipeline.machine import folders_of, refuse_device, refuse_read_only
from pipeline.recomputing import refuse_stale_packs
from pipeline.recording.inspector import Inspector
from pipeline.recording.planning import write_data
from pipeline.settings import Settings
from stages.artifacts.run_params import load_run_params
from stages.dag.data import data_nodes, datasets
from stages.dag.folders import run_folder
from stages.dag.graph import end_nodes, evaluation_nodes, start_nodes
from stages.dag.nodes import Node
from stages.errors import Refusal
from stages.parameters.checks import check_evaluations
from stages.parameters.differences import as_values
from stages.parameters.resolution import resolve_evaluation
from stages.parameters.run import RunParams
from stages.runtime.report import Reporter
from stages.words import duration, plural


@dataclass
class Prepared:
    """What is to be evaluated, checked; nothing is written yet.

    Attributes:
        params: the run's own, with the chosen evaluations.
    """

    settings: Settings
    params: RunParams


def prepare(root: Path, run: str, names: list[str]) -> Prepared:
    """Resolves and checks evaluations of a run in memory.

    Args:
        names: keys of `evaluations`; none: those that the run names already.

    Raises:
        Refusal: the run is not finished, or an evaluation is unknown, does not fit the network, or lacks its data.
    """
    settings = Settings(root)
    own = load_run_params(root / run_folder(run))
    known = [evaluation.name for evaluation in settings.resolve(run).evaluations]
    if not names and not known:
        every = ", ".join(map(str, settings.content.get("evaluations") or ())) or "none"
        raise Refusal(f"run {run} names no evaluations: give some of `evaluations` in params.yaml ({every})")
    chosen = tuple(resolve_evaluation(settings.content, name) for name in dict.fromkeys(names or known))
    settings.add_evaluations(run, list(dict.fromkeys(names)))
    params = own.model_copy(update={"evaluations": chosen})
    check_evaluations(params)
    for evaluation in chosen:
        if why := lacking(root, evaluation):
            raise Refusal(f"evaluation {evaluation.name}: {why}; `python -m pipeline data` tells what should lie where")
    _refuse_unfinished(root, own)
    return Prepared(settings, params)


def evaluate(root: Path, run: str, names: list[str], report: Reporter, *, yes: bool = False) -> RunParams:
    """Computes evaluations of a run that are not up to date, and enters new ones under `runs` of params.yaml.

    Args:
        names: as of `prepare`.
        yes: whether to pack pictures again although recorded epochs would have to be computed again.

    Returns:
        The run's parameters, with these evaluations.

    Raises:
        Refusal: as `prepare`, recorded epochs would lose their pictures and `yes` is False, or a stage refuses.
    """
    from pipeline.recording.engine import Engine

    prepared = prepare(root, run, names)
    settings, params = prepared.settings, prepared.params
    # The run's own pictures are not read, and may be elsewhere by now.
    read = params.model_copy(update={"dataset": None})
    refuse_read_only(root, folders_of(read), params=settings.changed)
    data = data_nodes(read)
    refuse_stale_packs(root, Inspector(root, read, settings.content).states(data), datasets(read), yes=yes)
    if told := refuse_device(params):
        report.say(told)
    started = time.monotonic()
    with Engine(root, run, report) as engine:
        settings.save()
        write_data(root, read, ahead=False)
        count = engine.provide(data)
        count += engine.execute(_resolved(root, settings, params), params)
        refuse_unfit(root, params)
        count += engine.execute(evaluation_nodes(params), params)
    report.say(
        f"run {run}: {plural(len(params.evaluations), 'evaluation')}, {plural(count, 'stage')} run in "
        f"{duration(time.monotonic() - started)}"
    )
    return params


def _resolved(root: Path, settings: Settings, params: RunParams) -> list[Node]:
    """`resolve`, which tracks the run's entry in params.yaml, so that a new name there leaves nothing stale.

    None of it where it would also take up other edits, or where its inputs are not here.
    """
    node = start_nodes(params)[0]
    same = as_values(params) == as_values(settings.resolve(params.run))
    return [node] if same and all((root / path).exists() for path in node.all_deps()) else []


def _refuse_unfinished(root: Path, params: RunParams) -> None:
    """The backbone alone is looked at: the run's pictures, and its epochs, may be elsewhere by now."""
    weights = next(node for node in end_nodes(params) if node.stage == "weights")
    status = Inspector(root, params).state(weights)
    if status.state != "done":
        raise Refusal(
            f"run {params.run} has no finished network to evaluate ({status.why}): "
            f"`python -m pipeline run --run {params.run}` first"
        )
