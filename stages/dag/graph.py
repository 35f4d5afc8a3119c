"""The nodes of a run: each declared stage in every folder in which it stands, with its paths.

`run_nodes` lists a whole run in the order in which it is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from stages.dag.declared import declared, nothing_reads, of_epochs, of_runs
from stages.dag.epochs import clustered_epoch, own_epochs
from stages.dag.folders import dataset_folder, epoch_folder, evaluation_folder, run_folder, set_folder
from stages.dag.names import PACK
from stages.dag.nodes import PRUNED, UNFINISHED, Node, Out
from stages.dag.stage import Place, Read, Stage
from stages.parameters.evaluation import Evaluation
from stages.parameters.final import FinalParams
from stages.parameters.keys import leaves
from stages.parameters.protocols import ProtocolParams
from stages.parameters.run import RunParams

DEMO = "demo"
"""The run whose tables the root's own stage makes, so that plain `dvc repro` computes it."""

BASELINE = "demo-random"
"""The run beside which these tables show the demo: an initialised network, evaluated in the same way."""

Plans = Mapping[int, Collection[str]]
"""By epoch, the names of its stages, for epochs that were recorded when fewer stages were declared."""


@dataclass(frozen=True)
class _Spot:
    """A folder in which stages stand.

    Attributes:
        folder: relative to the project's root.
        where: number of the epoch, or "final"; None outside of epochs.
        entry: the entry of `evaluations`; None outside of evaluations.
    """

    folder: str
    params: RunParams
    where: int | Literal["final"] | None = None
    entry: ProtocolParams | None = None

    @property
    def epoch(self) -> int | None:
        """Number of the epoch, N + 1 for final/ of N epochs."""
        return self.params.epochs + 1 if self.where == "final" else self.where

    def sources(self, read: Read) -> list[str]:
        """The folders whose files a stage in this folder reads; none where nothing fits `read.of`."""
        params, of = self.params, read.of
        if read.recipe not in (None, params.recipe):
            return []
        if of == "here":
            return [self.folder]
        if of == "data set":
            return [dataset_folder(params.dataset.name)] if params.dataset else []
        if of == "run":
            return [run_folder(params.run)]
        if of == "last":
            return [epoch_folder(params.run, params.epochs)]
        if of == "final":
            return [epoch_folder(params.run, "final")]
        if of == "epochs":
            return [epoch_folder(params.run, epoch) for epoch in own_epochs(params)]
        if of == "results":
            return [evaluation_folder(run, entry.name) for run in (DEMO, BASELINE) for entry in params.evaluations]
        if of in ("train", "test", "whiten"):
            named = getattr(self.entry, of)
            if named is None:
                return []
            name = named if isinstance(named, str) else named.set
            return [dataset_folder(name) if read.name == PACK else set_folder(name)]
        assert self.epoch is not None, f"{of} of a stage outside of epochs"
        if of == "before":
            return [epoch_folder(params.run, self.epoch - 1)]
        if of == "previous":
            before = self.epoch - 1
            before = clustered_epoch(params, before) if before > params.start else params.start
            return [epoch_folder(params.run, before)] if before > 0 else []
        source = clustered_epoch(params, self.epoch)
        if of == "clustered":
            return [epoch_folder(params.run, source)]
        return [self.folder] if source == self.epoch else []


def _node(stage: Stage, spot: _Spot) -> Node:
    deps: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for role, read in stage.reads.items():
        paths = [f"{folder}/{read.name}" for folder in spot.sources(read)]
        if read.of in ("epochs", "results"):
            several[role] = paths
        elif paths:
            deps[role] = paths[0]
    prefix = "" if spot.folder == "." else f"{spot.folder}/"
    outs = {role: Out(f"{prefix}{write.name}", write.kind) for role, write in stage.writes.items()}
    root_keys = stage.named_root_keys(
        dataset=spot.params.dataset.name if spot.params.dataset else None,
        run=spot.params.run,
        evaluation=spot.entry.name if spot.entry else None,
    )
    # `init` stands in the run's folder and makes the network of epoch 0.
    epoch = 0 if stage.place == "start" else spot.epoch
    keys = keys_of(stage.name, final=spot.where == "final")
    return Node(spot.folder, stage.name, deps, outs, keys, epoch, spot.params.run, several, root_keys)


@cache
def keys_of(name: str, *, final: bool = False) -> tuple[str, ...]:
    """Dotted keys of the run's params.yaml that a stage depends on, such as train.lr; its revision comes last.

    None for a stage of the data, and for `resolve`, which makes that file. An entry of `evaluations` is none of its
    keys, nor is the revision of a stage that depends on one.

    Args:
        final: in final/, where the keys of `final` that bear its name hold as well.
    """
    stage = declared()[name]
    if stage.place == "evaluation" and stage.keys:
        return tuple(key for key in leaves(stage.keys) if not key.startswith("evaluation."))
    if stage not in of_runs():
        return ()
    own = [key for key in leaves(stage.keys) if key not in stage.untracked] if stage.keys else []
    if final:
        own += [key for key in leaves(FinalParams, "final.") if key.startswith(f"final.{name}.")]
    return (*own, f"revision.{name}") if stage.revised else tuple(own)


def guard_keys(recorded: Collection[str]) -> list[str]:
    """The keys that the stages of a pruned epoch depend on today.

    Args:
        recorded: keys in the guard's record; the revisions among them tell which stages the epoch had.
    """
    stages = (stage.name for stage in of_runs() if f"revision.{stage.name}" in recorded)
    return [key for name in stages for key in keys_of(name)]


def _nodes(spot: _Spot, places: Iterable[Place]) -> list[Node]:
    wanted = tuple(places)
    stages = (stage for stage in declared().values() if stage.recipe in (None, spot.params.recipe))
    return [_node(stage, spot) for stage in stages if stage.place in wanted]


def epoch_nodes(params: RunParams, epoch: int, plans: Plans | None = None) -> list[Node]:
    """The stages of an epoch, in order; in one that does not cluster anew (`cluster.every`), those of training alone.

    Args:
        plans: epochs that were recorded with fewer stages than are declared today.
    """
    anew: tuple[Place, ...] = ("clustering", "clustered epoch") if clustered_epoch(params, epoch) == epoch else ()
    nodes = _nodes(_Spot(epoch_folder(params.run, epoch), params, epoch), (*anew, "epoch"))
    planned = (plans or {}).get(epoch)
    return nodes if planned is None else [node for node in nodes if node.stage in planned]


def final_nodes(params: RunParams) -> list[Node]:
    """The stages of final/, which cluster the features of the finished network; a run without pictures has none."""
    if params.dataset is None:
        return []
    return _nodes(_Spot(epoch_folder(params.run, "final"), params, "final"), ["clustering"])


def start_nodes(params: RunParams) -> list[Node]:
    """The stages in a run's folder before its epochs, `resolve` first; a branch has no `init`."""
    places: list[Place] = ["run"] if params.branch else ["run", "start"]
    return _nodes(_Spot(run_folder(params.run), params), places)


def end_nodes(params: RunParams, plans: Plans | None = None) -> list[Node]:
    """The stages in a run's folder after its epochs.

    The first that waits for final/ also depends on every output of an epoch that no stage reads. Without that,
    `dvc repro` of the run's folder would not make it.
    """
    spot = _Spot(run_folder(params.run), params)
    network = _nodes(spot, ["network"])
    if params.dataset is None:
        return network
    nodes = _nodes(spot, ["end"])
    loose = {stage.name for stage in of_epochs() if nothing_reads(stage)}
    paths = [
        out.path
        for epoch in (own_epochs(params) if loose else ())
        for node in epoch_nodes(params, epoch, plans)
        if node.stage in loose
        for out in node.outs.values()
    ]
    if paths:
        at = next(i for i, node in enumerate(nodes) if _waits(declared()[node.stage]))
        nodes[at] = replace(nodes[at], several=nodes[at].several | {"loose": paths})
    return [*network, *nodes]


def _waits(stage: Stage) -> bool:
    return any(read.of == "final" for read in stage.reads.values())


def evaluation_nodes(params: RunParams) -> list[Node]:
    """The stages of a run's evaluations, each in a folder of its own."""
    return [evaluation_node(params, entry) for entry in params.evaluations]


def evaluation_node(params: RunParams, evaluation: Evaluation) -> Node:
    """The stage of one evaluation of a run."""
    entry = evaluation.params
    spot = _Spot(evaluation_folder(params.run, entry.name), params, entry=entry)
    return _node(declared()[entry.protocol], spot)


def unfinished_node(params: RunParams) -> Node:
    """The guard that stands in a run's folder in place of the stages that are not made yet."""
    folder = run_folder(params.run)
    return _node(declared()[UNFINISHED], _Spot(folder, params))


def root_nodes(params: RunParams) -> list[Node]:
    """The stages of the root's dvc.yaml; there are some for the demo alone."""
    return _nodes(_Spot(".", params), ["project"]) if params.run == DEMO else []


def run_nodes(
    params: RunParams, guards: Mapping[int, Node] | None = None, plans: Plans | None = None
) -> Iterator[Node]:
    """All stages of a run without those of its data and its evaluations, in the order in which they are computed.

    Args:
        guards: by epoch, the guard that stands in place of the stages of a pruned one.
        plans: epochs that were recorded with fewer stages than are declared today.
    """
    guards = guards or {}
    yield from start_nodes(params)
    for epoch in own_epochs(params):
        yield from [guards[epoch]] if epoch in guards else epoch_nodes(params, epoch, plans)
    yield from final_nodes(params)
    yield from end_nodes(params, plans)


def pruned_node(params: RunParams, epoch: int, *, network: bool, checkpoint: bool, plans: Plans | None = None) -> Node:
    """The guard that stands in place of the stages of an epoch whose large artifacts are gone.

    It depends on the keys of all stages that led to its artifacts, in earlier epochs too, so that DVC notices a
    change of any of them.

    Args:
        network: whether the epoch before still has the checkpoint that this one started from.
        checkpoint: whether this one keeps its own checkpoint, which a next epoch that is whole starts from.
        plans: epochs that were recorded with fewer stages than are declared today.
    """
    nodes = epoch_nodes(params, epoch, plans)
    folder = nodes[0].folder
    deps: dict[str, str] = {}
    outs: dict[str, Out] = {}
    for node in nodes:
        for role, path in node.deps.items():
            if not path.startswith(f"{folder}/") and (network or role != "network"):
                deps[role] = path
        for role, out in node.outs.items():
            if out.kind != "large" or (checkpoint and role == "checkpoint"):
                outs[role] = replace(out, kept=True)
    planned = (plans or {}).get(epoch)
    before = [stage for stage in of_runs() if stage.place not in ("network", "end")]
    before = [stage for stage in before if stage.recipe in (None, params.recipe)]
    stages = [stage for stage in before if planned is None or stage.name in planned]
    stages += [stage for stage in of_runs() if stage.place == "start" and stage not in stages]
    keys = [key for stage in stages for key in keys_of(stage.name)]
    keys.sort(key=lambda key: key.startswith("revision."))
    return Node(folder, PRUNED, deps, outs, tuple(dict.fromkeys(keys)), epoch, params.run)
