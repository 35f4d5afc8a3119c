"""What wraps each stage, run by DVC or by `pipeline run`: random state, threads, publishing, timing.

A stage is a function of one `Job`. Both ways to run give the same bytes because all that could
differ between them is set here: the random state is a function of (seed, epoch, stage), threads
and float modes are the run's, and a stage reads its inputs from disk and nowhere else.
"""

from __future__ import annotations

import os
import posixpath
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stages.artifacts.documents import load_yaml
from stages.artifacts.plans import recorded_plans
from stages.artifacts.run_params import load_run_params, with_evaluations
from stages.dag.data import dataset_nodes, set_nodes
from stages.dag.declared import declared
from stages.dag.folders import IMAGES, RUNS, SETS, dataset_folder, evaluation_folder, find_root, run_folder
from stages.dag.graph import DEMO, end_nodes, epoch_nodes, evaluation_nodes, final_nodes, root_nodes, start_nodes
from stages.dag.names import LOG, PARAMS
from stages.dag.nodes import Node
from stages.errors import Refusal, outside
from stages.parameters.resolution import resolve_run
from stages.parameters.run import RunParams
from stages.runtime.device_failures import device_failures
from stages.runtime.job import Job, data_job, load_dataset_params, load_set, run_job
from stages.runtime.locks import only_writer, reader
from stages.runtime.memory import give_memory_back, keep_memory, peak_memory
from stages.runtime.report import Reporter
from stages.runtime.streams import stand_in_for_streams
from stages.runtime.threads import float_modes, thread_limit, usable_cores
from stages.runtime.timings import record_timing

StageFunction = Callable[[Job[Any]], None]

DEBUG = "DEEPCLUSTER_DEBUG"
"""Environment variable under which a refusal shows its traceback too."""


def execute(function: StageFunction, job: Job[Any], context: RunParams | None) -> None:
    """Runs a stage and publishes what it wrote, or nothing.

    Raises:
        Refusal: what the stage refuses, and an input that changed while it ran.
    """
    job.partial.recover()
    before = job.fingerprint()
    job.partial.begin(before)
    started = time.monotonic()
    try:
        evaluation = posixpath.basename(job.node.folder) if declared()[job.node.stage].place == "evaluation" else None
        with device_failures(job.node.stage, evaluation), _environment(job, context), peak_memory() as peak:
            function(job)
        if job.fingerprint() != before:
            raise Refusal("an input changed while running; nothing was published, give the same command again")
    except BaseException as error:
        if isinstance(error, Exception):
            job.partial.fail(str(error) or type(error).__name__)
        raise
    job.partial.publish(job.published())
    record_timing(job, context, time.monotonic() - started, peak[0])


@contextmanager
def _environment(job: Job[Any], context: RunParams | None) -> Iterator[None]:
    """The run's threads, float modes and a random state of the stage's own."""
    threads = context.threads if context else usable_cores()
    job.workers = context.workers if context else threads
    job.device_memory = context.device_memory if context else 0.0
    with thread_limit(threads), keep_memory() if context else give_memory_back():
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        # Of what depends on it: another stage's results must not change with it.
        float_modes(getattr(job.params, "precision", "float32"))
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(job.torch_seed % 2**63)
            yield


def run_stage(function: StageFunction) -> None:
    """Entry of `python -m stages.NAME FOLDER`: what DVC calls.

    Exit status 0 when the stage has published, 1 when it refused or failed.
    """
    stand_in_for_streams()
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{function.__name__} FOLDER", file=sys.stderr)
        sys.exit(2)
    log: Path | None = None
    try:
        folder = Path(sys.argv[1]).resolve()
        root = find_root(folder)
        relative = folder.relative_to(root)
        owner = _owner(relative)
        log = root / owner / LOG
        with only_writer(root / owner, called(owner.as_posix())), Reporter(log) as report:
            if owner == Path(run_folder(owner.name)):
                _run_in_run(function, root, relative, owner.name, report)
            else:
                _run_in_data(function, root, owner, report)
    except (Refusal, OSError) as error:
        told = outside(error) if isinstance(error, OSError) else str(error)
        if os.environ.get(DEBUG):
            traceback.print_exc()
        if isinstance(error, OSError):
            Reporter(log).note(traceback.format_exc())
        Reporter(log).note(f"refused: {told}")
        print(f"{function.__name__}: {told}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{function.__name__}: stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except Exception:
        Reporter(log).note(traceback.format_exc())
        raise


def _run_in_run(function: StageFunction, root: Path, folder: Path, run: str, report: Reporter) -> None:
    stage = function.__name__
    place = declared()[stage].place
    # What `resolve` makes is what all others read.
    params = resolve_run(load_yaml(root / PARAMS), run) if place == "run" else load_run_params(root / run_folder(run))
    if place in ("evaluation", "project"):
        params = with_evaluations(root, params)
    node = find_node(root, params, folder, stage)
    with reads_data(root, node):
        execute(function, run_job(root, node, params, report), params)


def _run_in_data(function: StageFunction, root: Path, folder: Path, report: Reporter) -> None:
    name = folder.name
    if folder == Path(dataset_folder(name)):
        nodes = dataset_nodes(load_dataset_params(root, name))
    else:
        nodes = set_nodes(load_set(root, name))
    node = next(node for node in nodes if node.stage == function.__name__)
    execute(function, data_job(root, node, report), None)


@contextmanager
def reads_data(root: Path, node: Node, besides: Collection[str] = ()) -> Iterator[None]:
    """Keeps the data that a stage of a run reads from being made again meanwhile.

    Args:
        besides: folders that are kept already.
    """
    folders = {posixpath.dirname(path) for path in node.all_deps()} - set(besides)
    with ExitStack() as held:
        for folder in sorted(folder for folder in folders if folder.startswith((IMAGES, SETS))):
            held.enter_context(reader(root / folder, called(folder), f"run {node.run}"))
        yield


def called(folder: str) -> str:
    """A folder below data/ in words, such as "run demo"."""
    kinds = {IMAGES: "data set", SETS: "evaluation set", RUNS: "run"}
    return f"{kinds[posixpath.dirname(folder)]} {posixpath.basename(folder)}"


def find_node(root: Path, params: RunParams, folder: Path, stage: str) -> Node:
    """The node of `stage` in `folder` (relative to the root)."""
    where = folder.name
    if declared()[stage].place == "project":
        nodes = root_nodes(params)
    elif folder.as_posix() == run_folder(params.run):
        nodes = [*start_nodes(params), *end_nodes(params, recorded_plans(root, params))]
    elif folder.as_posix() == evaluation_folder(params.run, where):
        nodes = [node for node in evaluation_nodes(params) if node.folder == folder.as_posix()]
    elif where == "final":
        nodes = final_nodes(params)
    elif where.isdecimal() and int(where) > params.start:
        nodes = epoch_nodes(params, int(where))
    else:
        raise Refusal(f"{folder} is no epoch of run {params.run}")
    for node in nodes:
        if node.stage == stage:
            return node
    if declared()[stage].place == "evaluation":
        raise Refusal(f"params.yaml names no evaluation {where} with protocol {stage} for run {params.run}")
    raise Refusal(f"{folder} has no stage {stage} (cluster.every: {params.cluster.every})")


def _owner(relative: Path) -> Path:
    """data/images/NAME, data/evaluation/NAME or data/runs/NAME, which lock, log and timings belong to."""
    parts = Path(run_folder(DEMO)).parts if relative == Path() else relative.parts
    if len(parts) >= 3 and "/".join(parts[:2]) in (IMAGES, SETS, RUNS):
        return Path(*parts[:3])
    raise Refusal(f"{relative} is neither {IMAGES}/DATASET nor {SETS}/SET nor inside {RUNS}/RUN")
