"""The job of a stage: all that it gets to know, namely its inputs, outputs, parameters and random state."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from stages.artifacts.chunks import ChunkReader
from stages.artifacts.documents import load_yaml
from stages.artifacts.pictures import PackedImages
from stages.artifacts.publishing import Partial
from stages.artifacts.remedies import maker, remedy
from stages.artifacts.run_params import load_run_params
from stages.dag.declared import declared
from stages.dag.folders import dataset_folder, run_folder
from stages.dag.names import PARAMS
from stages.dag.nodes import Node
from stages.dag.revisions import revision_of, revisions
from stages.errors import Refusal
from stages.parameters.dataset import DatasetKeys, DatasetParams
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.keys import pick
from stages.parameters.protocols import ProtocolParams
from stages.parameters.resolution import resolve_dataset, resolve_evaluation, resolve_run, resolve_set
from stages.parameters.resolve import ResolveKeys
from stages.parameters.run import RunParams
from stages.parameters.sets import EvaluationSet, SetKeys
from stages.parameters.types import NoKeys
from stages.runtime.report import Reporter

if TYPE_CHECKING:
    from stages.artifacts.index import EvaluationIndex

T = TypeVar("T")
P = TypeVar("P")

Loaded = tuple[P, int | None]
"""A stage's parameters, and its revision in the run's params.yaml."""


class Job(Generic[P]):
    """One execution of one stage.

    Attributes:
        root: the project's root.
        node: the stage and its paths.
        report: receives what the stage tells.
        params: the declared keys, as an object of the class that the declaration names. There are no others, so that
            no result can depend on a key that DVC does not track; see `Stage.untracked`.
        folder: in which the outputs are published.
        partial: the folder in which they are written until then, and which may hold save points.
        rng: numpy's generator, seeded from (seed, epoch, stage).
        torch_seed: seed of torch's global random state, from the same three.
        workers: number of threads that may prepare batches.
        device_memory: share of a GPU's free memory that the pictures may take.
        images: number of images that the stage went through; set by the stage, for timings.csv.
    """

    def __init__(self, root: Path, node: Node, load: Callable[[], Loaded[P]], report: Reporter, seed: int = 0) -> None:
        self.root, self.node, self.report = root, node, report
        self._load = load
        self.params: P = load()[0]
        self.folder = root / node.folder
        self.partial = Partial(self.folder, node.stage)
        state = np.random.SeedSequence(seed, spawn_key=(node.epoch or 0, zlib.crc32(node.stage.encode())))
        self.rng = np.random.default_rng(state)
        self.torch_seed = int(state.generate_state(1, np.uint64)[0])
        self.workers = 0
        self.device_memory = 0.0
        self.images = 0
        self._untracked: list[str] = []

    @property
    def epoch(self) -> int:
        """Number of the epoch, N + 1 in final/ of N epochs; asked for by stages of epochs alone."""
        assert self.node.epoch is not None
        return self.node.epoch

    def reads(self, role: str) -> bool:
        """Whether the stage has this input here: some declared ones are there in certain epochs alone."""
        return role in self.node.deps

    def input(self, role: str) -> Path:
        """Path of the input that the declaration gives this role.

        Raises:
            KeyError: there is none here.
        """
        return self.root / self.node.deps[role]

    def inputs(self, role: str) -> list[Path]:
        """Paths of the inputs that share a role, in the order of epochs."""
        return [self.root / path for path in self.node.several[role]]

    def output(self, role: str) -> Path:
        """Where to write the output of this role; it gets its final name when the stage has ended."""
        return self.partial.path / Path(self.node.outs[role].path).relative_to(self.node.folder)

    def untracked(self, name: str) -> Path:
        """Where to write a file `name` that is published with the outputs and that DVC does not track."""
        self._untracked.append(name)
        return self.partial.path / name

    def published(self) -> list[str]:
        """Names of all outputs below the stage's folder, in the order in which they are published."""
        tracked = [str(Path(out.path).relative_to(self.node.folder)) for out in self.node.outs.values()]
        return tracked + self._untracked

    def packed(self, role: str = "pack") -> PackedImages:
        """The pictures whose pack.json is the input `role`.

        Raises:
            Refusal: they are not there in full.
        """
        return PackedImages(self.input(role).parent)

    def index(self, role: str) -> EvaluationIndex:
        """The evaluation set whose index.json is the input `role`.

        Raises:
            Refusal: the index is missing, or the set is not in params.yaml.
        """
        # Imported here: a stage process pays for what it uses, and most stages read no set.
        from stages.artifacts.index import EvaluationIndex

        folder = self.input(role).parent
        return EvaluationIndex(folder, self.root / load_set(self.root, folder.name).path)

    def rows(self, role: str, made_by: str) -> ChunkReader:
        """Reader of an input that is an array in chunks.

        Args:
            made_by: the stage that makes it, for the refusal.

        Raises:
            Refusal: it is missing, or not there in full.
        """
        return ChunkReader(self.input(role), remedy(made_by, self.node.run, self.where))

    def say(self, text: str) -> None:
        """Tells a line, with the stage's label before it."""
        self.report.say(f"{self.label}: {text}")

    @property
    def where(self) -> int | str | None:
        """The value of --epoch that names this stage's folder: a number or "final"; None outside of epochs."""
        return "final" if Path(self.node.folder).name == "final" else self.node.epoch

    @property
    def label(self) -> str:
        """The stage for people, such as "epoch 3 train", "final extract" or "export"; an evaluation's name."""
        where = Path(self.node.folder).name
        if declared()[self.node.stage].place == "evaluation":
            return where
        if self.node.epoch is None:
            return self.node.stage
        return f"{where if where == 'final' else f'epoch {self.node.epoch}'} {self.node.stage}"

    def progress(self, items: Iterable[T], total: int, count: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
        """Yields `items`, and tells how many of `total` are done; an item counts as `count(item)`."""
        return self.report.progress(items, self.label, total, count)

    def fingerprint(self) -> str:
        """Digest of what the result depends on: parameters, revision, and size, time and inode of each input file.

        Raises:
            Refusal: an input is missing.
        """
        digest = hashlib.sha256(repr((self.node.id, self._load())).encode())
        for path in self.node.all_deps():
            digest.update(repr((path, _state(self.root / path))).encode())
        return digest.hexdigest()


def _state(path: Path) -> list[tuple[str, int, int, int]]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        stats = [(str(file), file.stat()) for file in files]
    except FileNotFoundError as error:
        raise Refusal(f"{error.filename} is missing; {maker(Path(error.filename))}") from None
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats]


def run_job(root: Path, node: Node, params: RunParams, report: Reporter) -> Job[Any]:
    """The job of a stage of a run; `resolve` gets the root's parameters, resolved, an evaluation its entry there.

    Raises:
        Refusal: the parameters are missing or not valid.
    """
    stage = declared()[node.stage]

    def load() -> Loaded[Any]:
        if stage.place == "run":
            resolved = resolve_run(load_yaml(root / PARAMS), params.run, revisions())
            return ResolveKeys.model_construct(run=resolved), None
        if stage.place == "evaluation":
            entry = resolve_evaluation(load_yaml(root / PARAMS), Path(node.folder).name)
            own = load_run_params(root / run_folder(params.run))
            keys: EvaluationKeys[ProtocolParams] = EvaluationKeys(
                evaluation=entry.params, seed=own.seed, device=own.device, precision=own.precision
            )
            return keys, revision_of(node.stage)
        current = load_run_params(root / run_folder(params.run))
        if node.in_final:
            current = current.at_the_end
        return pick(current, stage.keys or NoKeys), current.revision.get(node.stage)

    return Job(root, node, load, report, params.seed)


def data_job(root: Path, node: Node, report: Reporter) -> Job[Any]:
    """The job of a stage of a data set or an evaluation set, whose parameters are its entry in params.yaml.

    Raises:
        Refusal: the entry is missing or not valid.
    """
    name = Path(node.folder).name

    def load() -> Loaded[Any]:
        revision = revision_of(node.stage)
        if node.folder == dataset_folder(name):
            return DatasetKeys(dataset=load_dataset_params(root, name)), revision
        return SetKeys(set=load_set(root, name)), revision

    return Job(root, node, load, report)


def load_dataset_params(root: Path, name: str) -> DatasetParams:
    """The entry `name` of `datasets` in the root's params.yaml.

    Raises:
        Refusal: it is missing or not valid.
    """
    return resolve_dataset(load_yaml(root / PARAMS), name)


def load_set(root: Path, name: str) -> EvaluationSet:
    """The entry `name` of `evaluation_sets` in the root's params.yaml.

    Raises:
        Refusal: it is missing or not valid.
    """
    return resolve_set(load_yaml(root / PARAMS), name)
