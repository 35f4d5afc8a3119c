"""What wraps each stage, run by DVC or by `pipeline run`: random state, threads, publishing, timing.

A stage is a function of one `Job`. Both ways to run give the same bytes because all that could
differ between them is set here: the random state is a function of (seed, epoch, stage), threads
and float modes are the run's, and a stage reads its inputs from disk and nowhere else.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib.metadata
import json
import os
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from stages.artifacts import PackedImages, find_root, load_run_params, load_yaml, remedy
from stages.chunks import ChunkReader
from stages.errors import Refusal
from stages.graph import (
    REVISED_STAGES,
    Node,
    dataset_nodes,
    epoch_nodes,
    export_node,
    figures_node,
    final_nodes,
    init_node,
    resolve_node,
    run_folder,
)
from stages.locks import only_writer
from stages.params import DatasetParams, RunParams, resolve
from stages.publish import Partial
from stages.report import Reporter

T = TypeVar("T")
StageFunction = Callable[["Job"], None]

DEBUG = "DEEPCLUSTER_DEBUG"
"""Environment variable under which a refusal shows its traceback too."""


class Job:
    """One execution of one stage: its inputs, its outputs, its parameters and its random state.

    Attributes:
        params: the parameters that the stage declares in `stages.graph`, by section; asking for
            any other is an error, so that DVC and the stage cannot disagree on what matters.
        rng: generator seeded from (seed, epoch, stage).
        images: set by the stage to the number of images handled, for timings.csv.
    """

    def __init__(self, root: Path, node: Node, load: Callable[[], Any], report: Reporter, seed: int = 0) -> None:
        self.root, self.node, self.report = root, node, report
        self._load = load
        self.params = load()
        self.folder = root / node.folder
        self.partial = Partial(self.folder, node.stage)
        state = np.random.SeedSequence(seed, spawn_key=(node.epoch or 0, zlib.crc32(node.stage.encode())))
        self.rng = np.random.default_rng(state)
        self.torch_seed = int(state.generate_state(1, np.uint64)[0])
        self.workers = 0
        self.images = 0
        self._untracked: list[str] = []

    @property
    def epoch(self) -> int:
        assert self.node.epoch is not None
        return self.node.epoch

    def reads(self, role: str) -> bool:
        return role in self.node.deps

    def input(self, role: str) -> Path:
        """Path of a declared input."""
        return self.root / self.node.deps[role]

    def inputs(self, role: str) -> list[Path]:
        return [self.root / path for path in self.node.several[role]]

    def output(self, role: str) -> Path:
        """Where to write a declared output; it is published when the stage has ended."""
        return self.partial.path / Path(self.node.outs[role].path).relative_to(self.node.folder)

    def untracked(self, name: str) -> Path:
        """Where to write a file that is published with the outputs and that DVC does not know."""
        self._untracked.append(name)
        return self.partial.path / name

    def published(self) -> list[str]:
        """Names in the stage's folder, in the order in which they appear there."""
        tracked = [str(Path(out.path).relative_to(self.node.folder)) for out in self.node.outs.values()]
        return tracked + self._untracked

    def packed(self) -> PackedImages:
        return PackedImages(self.input("pack").parent)

    def rows(self, role: str, made_by: str) -> ChunkReader:
        """An input array in chunks, checked to be whole."""
        return ChunkReader(self.input(role), remedy(made_by, self.node.run, self.node.epoch))

    def say(self, text: str) -> None:
        self.report.say(f"{self.label}: {text}")

    @property
    def label(self) -> str:
        where = Path(self.node.folder).name
        if self.node.epoch is None:
            return self.node.stage
        return f"{where if where == 'final' else f'epoch {self.node.epoch}'} {self.node.stage}"

    def progress(self, items: Iterable[T], total: int, count: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
        """Yields `items` and tells how many of `total` are done; each counts as `count` says."""
        return self.report.progress(items, self.label, total, count)

    def fingerprint(self) -> str:
        """Digest of what the result depends on: parameters, inputs as they lie there, revision."""
        digest = hashlib.sha256(repr((self.node.id, self._load())).encode())
        for path in self.node.all_deps():
            digest.update(repr((path, _state(self.root / path))).encode())
        return digest.hexdigest()


def _state(path: Path) -> list[tuple[str, int, int, int]]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        stats = [(str(file), file.stat()) for file in files]
    except FileNotFoundError as error:
        raise Refusal(f"{error.filename} is missing; `python -m pipeline status` says which stage makes it") from None
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats]


def execute(function: StageFunction, job: Job, context: RunParams | None) -> None:
    """Runs a stage and publishes what it wrote, or nothing.

    Raises:
        Refusal: what the stage refuses, and an input that changed while it ran.
    """
    job.partial.recover()
    before = job.fingerprint()
    job.partial.begin(before)
    started = time.monotonic()
    try:
        with _environment(job, context), _peak_memory() as peak:
            function(job)
        if job.fingerprint() != before:
            raise Refusal(
                f"{job.label}: an input changed while running; nothing was published, give the same command again"
            )
    except BaseException as error:
        if isinstance(error, Exception):
            job.partial.fail(str(error) or type(error).__name__)
        raise
    job.partial.publish(job.published())
    _record_timing(job, context, time.monotonic() - started, peak[0])


@contextmanager
def _environment(job: Job, context: RunParams | None) -> Iterator[None]:
    """The run's threads, float modes and a random state of the stage's own."""
    threads = context.threads if context else os.cpu_count() or 1
    job.workers = context.workers if context else threads
    with thread_limit(threads):
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        precision = context.precision if context else "float32"
        tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(job.torch_seed % 2**63)
            yield


@contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """Gives numpy, faiss and torch `count` threads."""
    # numpy's, faiss's and torch's pools are three libraries; each is told, whichever is loaded.
    from threadpoolctl import threadpool_limits

    torch, faiss = sys.modules.get("torch"), sys.modules.get("faiss")
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(limits=count):
        if torch:
            torch.set_num_threads(count)
        if faiss:
            faiss.omp_set_num_threads(count)
        yield
    if torch and before:
        torch.set_num_threads(before)


@contextmanager
def _peak_memory() -> Iterator[list[float | None]]:
    """Peak anonymous memory in MB, sampled from /proc; None where there is no /proc."""
    peak: list[float | None] = [None]
    stop = threading.Event()

    def sample() -> None:
        while True:
            try:
                with open("/proc/self/status", encoding="ascii") as file:
                    line = next(line for line in file if line.startswith("RssAnon"))
            except (OSError, StopIteration):
                return
            peak[0] = max(peak[0] or 0.0, int(line.split()[1]) / 1024)
            if stop.wait(0.1):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


TIMING_COLUMNS = (
    "epoch",
    "stage",
    "pid",
    "seconds",
    "peak_anon_mb",
    "images_per_s",
    "threads",
    "device",
    "versions",
)


def _record_timing(job: Job, context: RunParams | None, seconds: float, peak: float | None) -> None:
    folder = job.root / f"data/runs/{job.node.run}" if job.node.run else job.folder
    path = folder / "timings.csv"
    names = ("torch", "faiss", "zarr", "numpy")
    versions = " ".join(f"{name} {_version(name)}" for name in names if name in sys.modules)
    where = "final" if Path(job.node.folder).name == "final" else job.node.epoch
    row = {
        "epoch": "" if where is None else where,
        "stage": job.node.stage,
        "pid": os.getpid(),
        "seconds": f"{seconds:.3f}",
        "peak_anon_mb": "" if peak is None else f"{peak:.0f}",
        "images_per_s": f"{job.images / seconds:.1f}" if job.images else "",
        "threads": context.threads if context else os.cpu_count(),
        "device": context.device if context else "cpu",
        "versions": versions,
    }
    new = not path.exists()
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, TIMING_COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        # A table of timings is no reason to lose a published result.
        job.report.say(f"{path} could not be written: {error.strerror}")


def _version(module: str) -> str:
    for distribution in (module, f"{module}-gpu", f"{module}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "?"


def view(params: RunParams, keys: Iterable[str]) -> SimpleNamespace:
    """The declared parameters alone, by section: view.train.lr, view.seed."""
    seen: dict[str, Any] = {}
    for key in keys:
        section, _, name = key.partition(".")
        if not name:
            seen[section] = getattr(params, section)
        else:
            part = seen.setdefault(section, SimpleNamespace())
            setattr(part, name, getattr(getattr(params, section), name))
    return SimpleNamespace(**seen)


def run_job(root: Path, node: Node, params: RunParams, report: Reporter) -> Job:
    """The job of a run's stage; `resolve` alone looks at the root's parameters."""

    def load() -> Any:
        if node.stage == "resolve":
            return SimpleNamespace(run=resolve(load_yaml(root / "params.yaml"), params.run, revisions()))
        current = load_run_params(root / run_folder(params.run))
        seen = view(current, node.params)
        seen.revision = current.revision.get(node.stage)
        return seen

    return Job(root, node, load, report, params.seed)


def dataset_job(root: Path, node: Node, report: Reporter) -> Job:
    """The job of a data set's stage, which knows its data set's parameters and no run's."""
    name = Path(node.folder).name

    def load() -> Any:
        return SimpleNamespace(dataset=load_dataset_params(root, name), revision=revision_of(node.stage))

    return Job(root, node, load, report)


def load_dataset_params(root: Path, name: str) -> DatasetParams:
    """One entry of `datasets` in the root's params.yaml, without any run."""
    content = load_yaml(root / "params.yaml")
    datasets = content.get("datasets")
    if not isinstance(datasets, dict) or name not in datasets:
        raise Refusal(f"params.yaml: there is no data set {name!r} under `datasets`")
    runs = content.get("runs") or {}
    for run, override in runs.items():
        if ((override or {}).get("dataset") or content.get("dataset")) == name:
            return resolve(content, run).dataset
    return resolve({**content, "runs": {name: {"dataset": name}}}, name).dataset


def run_stage(function: StageFunction) -> None:
    """Entry of `python -m stages.NAME FOLDER`: what DVC calls.

    Exit status 0 when the stage has published, 1 when it refused or failed.
    """
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{function.__name__} FOLDER", file=sys.stderr)
        sys.exit(2)
    log: Path | None = None
    try:
        folder = Path(sys.argv[1]).resolve()
        root = find_root(folder)
        relative = folder.relative_to(root)
        owner = _owner(relative)
        log = root / owner / "log.txt"
        kind, name = owner.parts[1], owner.name
        what = f"data set {name}" if kind == "images" else f"run {name}"
        with only_writer(root / owner, what), Reporter(log) as report:
            if kind == "images":
                dataset = load_dataset_params(root, name)
                nodes = dataset_nodes(name, generated=dataset.generate is not None)
                node = next(node for node in nodes if node.stage == function.__name__)
                execute(function, dataset_job(root, node, report), None)
            else:
                _run_in_run(function, root, relative, name, report)
    except Refusal as refusal:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        Reporter(log).note(f"refused: {refusal}")
        print(f"{function.__name__}: {refusal}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        Reporter(log).note(traceback.format_exc())
        raise


def _run_in_run(function: StageFunction, root: Path, relative: Path, run: str, report: Reporter) -> None:
    stage = function.__name__
    if stage == "resolve":
        params = resolve(load_yaml(root / "params.yaml"), run)
        node = resolve_node(params)
    else:
        params = load_run_params(root / "data/runs" / run)
        node = find_node(params, relative, stage)
    execute(function, run_job(root, node, params, report), params)


def find_node(params: RunParams, folder: Path, stage: str) -> Node:
    """The node of `stage` in `folder` (relative to the root)."""
    where = folder.name
    if stage == "figures":
        return figures_node(params.run, params.dataset.name)
    if folder.parent.name == "runs":
        nodes = [init_node(params), export_node(params)]
    elif where == "final":
        nodes = final_nodes(params)
    elif where.isdigit() and int(where) > params.start:
        nodes = epoch_nodes(params, int(where))
    else:
        raise Refusal(f"{folder} is no epoch of run {params.run}")
    for node in nodes:
        if node.stage == stage:
            return node
    raise Refusal(f"{folder} has no stage {stage} (cluster.every: {params.cluster.every})")


def _owner(relative: Path) -> Path:
    """data/images/NAME or data/runs/NAME, which lock, log and timings belong to."""
    parts = relative.parts
    if len(parts) >= 3 and parts[0] == "data" and parts[1] in ("images", "runs"):
        return Path(*parts[:3])
    raise Refusal(f"{relative} is neither data/images/DATASET nor inside data/runs/RUN")


def revision_of(stage: str) -> int:
    """REVISION of a stage module, read from its source so that nothing heavy is imported."""
    tree = ast.parse((Path(__file__).parent / f"{stage}.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "REVISION":
            return int(ast.literal_eval(statement.value))
    raise AssertionError(f"stages/{stage}.py has no REVISION")


def revisions() -> dict[str, int]:
    return {stage: revision_of(stage) for stage in REVISED_STAGES}


def as_values(params: RunParams) -> dict[str, Any]:
    """`params` as plain values for YAML."""
    return json.loads(params.model_dump_json())
