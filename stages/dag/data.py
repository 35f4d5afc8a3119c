"""The nodes of what a run and its evaluations read: packed data sets and evaluation sets."""

from __future__ import annotations

from stages.dag.declared import declared
from stages.dag.folders import dataset_folder, set_folder
from stages.dag.nodes import Node, Out
from stages.dag.stage import Place
from stages.parameters.dataset import DatasetParams
from stages.parameters.run import RunParams
from stages.parameters.sets import EvaluationSet


def dataset_nodes(dataset: DatasetParams) -> list[Node]:
    """The stages of a data set, in the order of computation."""
    drawn: tuple[Place, ...] = ("drawn data set",) if dataset.generate is not None else ()
    return _of_data(dataset_folder(dataset.name), (*drawn, "data set"), dataset=dataset.name)


def set_nodes(of: EvaluationSet, *, proposed: bool = True) -> list[Node]:
    """The stages of an evaluation set, in the order of computation.

    Args:
        proposed: whether proposals are made, where its entry says from what; detection alone reads them.
    """
    drawn: tuple[Place, ...] = ("drawn evaluation set",) if of.draw is not None else ()
    last: tuple[Place, ...] = ("proposed evaluation set",) if proposed and of.proposed else ()
    return _of_data(set_folder(of.name), (*drawn, "evaluation set", *last), set=of.name)


def _of_data(folder: str, places: tuple[Place, ...], **names: str | None) -> list[Node]:
    nodes = []
    for stage in declared().values():
        if stage.place in places:
            drawn = places[0].startswith("drawn")
            read = {role: read for role, read in stage.reads.items() if read.of != "drawn" or drawn}
            deps = {role: f"{folder}/{one.name}" for role, one in read.items()}
            outs = {role: Out(f"{folder}/{write.name}", write.kind) for role, write in stage.writes.items()}
            nodes.append(Node(folder, stage.name, deps, outs, root_keys=stage.named_root_keys(**names)))
    return nodes


def data_nodes(params: RunParams) -> list[Node]:
    """The stages of all data that a run and its evaluations read, in the order of computation, none twice."""
    groups = [*map(dataset_nodes, datasets(params))]
    groups += [set_nodes(one, proposed=reads_proposals(params, one)) for one in evaluation_sets(params)]
    return [node for nodes in groups for node in nodes]


def reads_proposals(params: RunParams, of: EvaluationSet) -> bool:
    """Whether an evaluation of the run reads the proposals of a set, which may take hours to make."""
    return any(one.params.reads_proposals for one in params.evaluations if of in one.sets)


def datasets(params: RunParams) -> list[DatasetParams]:
    """The packed data sets of a run, its own first, and of its evaluations; none twice."""
    found = [params.dataset] if params.dataset else []
    found += [dataset for entry in params.evaluations for dataset in entry.datasets]
    return list({dataset.name: dataset for dataset in found}.values())


def evaluation_sets(params: RunParams) -> list[EvaluationSet]:
    """The evaluation sets of a run's evaluations, none twice."""
    return list({one.name: one for entry in params.evaluations for one in entry.sets}.values())
