"""What each stage reads, writes and is tuned by: the one table behind dvc.yaml, runner and status.

`run_nodes` lists a whole run in the order in which it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from stages.dag.epochs import clustered_epoch, own_epochs
from stages.dag.folders import dataset_folder, epoch_folder, run_folder
from stages.dag.nodes import GUARDED, PARAMS, PRUNED, Node, Out
from stages.parameters.run import RunParams

DEMO = "demo"
"""The run whose figures are the root's own stage."""


def dataset_nodes(dataset: str, *, generated: bool) -> list[Node]:
    folder = dataset_folder(dataset)
    nodes: list[Node] = []
    if generated:
        outs = {"pictures": Out(f"{folder}/pictures", "large")}
        nodes.append(Node(folder, "generate", {}, outs))
    deps = {"pictures": f"{folder}/pictures"} if generated else {}
    outs = {
        # Kept until its successor is whole: the source may be gone, and nothing else could make it again.
        "pixels": Out(f"{folder}/pixels.zarr", "persistent"),
        "manifest": Out(f"{folder}/manifest.parquet"),
        "rejected": Out(f"{folder}/rejected.parquet"),
        "pack": Out(f"{folder}/pack.json"),
    }
    nodes.append(Node(folder, "pack", deps, outs))
    return nodes


def _clustering_nodes(params: RunParams, where: int | Literal["final"]) -> list[Node]:
    run, last = params.run, params.epochs
    epoch = last + 1 if where == "final" else where
    folder = epoch_folder(run, where)
    pack = f"{dataset_folder(params.dataset.name)}/pack.json"
    network = f"{epoch_folder(run, epoch - 1)}/checkpoint.pt"
    before = clustered_epoch(params, epoch - 1) if epoch - 1 > params.start else params.start
    deps = {
        "whitened": f"{folder}/whitened.zarr",
        "pca": f"{folder}/pca.npz",
        "pack": pack,
    }
    if before > 0:
        deps["previous"] = f"{epoch_folder(run, before)}/assignments.parquet"
    return [
        Node(
            folder,
            "extract",
            {"pack": pack, "network": network},
            {"features": Out(f"{folder}/features.zarr", "large")},
            PARAMS["extract"],
            epoch=epoch,
            run=run,
        ),
        Node(
            folder,
            "whiten",
            {"features": f"{folder}/features.zarr"},
            {
                "pca": Out(f"{folder}/pca.npz"),
                "whitened": Out(f"{folder}/whitened.zarr", "large"),
            },
            PARAMS["whiten"],
            epoch=epoch,
            run=run,
        ),
        Node(
            folder,
            "cluster",
            deps,
            {
                "centroids": Out(f"{folder}/centroids.npy"),
                "assignments": Out(f"{folder}/assignments.parquet"),
                "clustering": Out(f"{folder}/clustering.json"),
            },
            PARAMS["cluster"],
            epoch=epoch,
            run=run,
        ),
    ]


def epoch_nodes(params: RunParams, epoch: int) -> list[Node]:
    """Six stages, or `train` and `checkpoint` alone in an epoch without reclustering."""
    run = params.run
    folder = epoch_folder(run, epoch)
    source = clustered_epoch(params, epoch)
    labels = f"{epoch_folder(run, source)}/pseudolabels.parquet"
    nodes: list[Node] = []
    if source == epoch:
        nodes += _clustering_nodes(params, epoch)
        nodes.append(
            Node(
                folder,
                "pseudolabel",
                {"assignments": f"{folder}/assignments.parquet"},
                {"pseudolabels": Out(labels)},
                PARAMS["pseudolabel"],
                epoch=epoch,
                run=run,
            )
        )
    nodes.append(
        Node(
            folder,
            "train",
            {
                "pack": f"{dataset_folder(params.dataset.name)}/pack.json",
                "network": f"{epoch_folder(run, epoch - 1)}/checkpoint.pt",
                "pseudolabels": labels,
            },
            {"trained": Out(f"{folder}/trained", "large")},
            PARAMS["train"],
            epoch=epoch,
            run=run,
        )
    )
    deps = {"trained": f"{folder}/trained"}
    if source == epoch:
        deps["clustering"] = f"{folder}/clustering.json"
        deps["pseudolabels"] = labels
    nodes.append(
        Node(
            folder,
            "checkpoint",
            deps,
            {
                "checkpoint": Out(f"{folder}/checkpoint.pt", "large"),
                "metrics": Out(f"{folder}/metrics.json", "metrics"),
            },
            PARAMS["checkpoint"],
            epoch=epoch,
            run=run,
        )
    )
    return nodes


def pruned_node(params: RunParams, epoch: int, *, network: bool, checkpoint: bool) -> Node:
    """The guard that stands for an epoch without its large artifacts.

    Args:
        network: whether the epoch before still has the checkpoint.pt that this one was made from.
        checkpoint: whether this one keeps its own, for a next epoch that is whole.
    """
    nodes = epoch_nodes(params, epoch)
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
    return Node(folder, PRUNED, deps, outs, GUARDED, epoch=epoch, run=params.run)


def is_planned(params: RunParams, epoch: int, stages: Mapping[str, Any]) -> bool:
    """Whether the stages of a dvc.yaml are those of the epoch, or its guard where it is pruned."""
    nodes = epoch_nodes(params, epoch)
    if PRUNED not in stages:
        return set(stages) == {node.stage for node in nodes}
    outs = {out if isinstance(out, str) else next(iter(out)) for out in stages[PRUNED].get("outs", [])}
    return ("assignments.parquet" in outs) == any(node.stage == "cluster" for node in nodes)


def final_nodes(params: RunParams) -> list[Node]:
    return _clustering_nodes(params, "final")


def resolve_node(params: RunParams) -> Node:
    folder = run_folder(params.run)
    return Node(
        folder,
        "resolve",
        {"pack": f"{dataset_folder(params.dataset.name)}/pack.json"},
        {"params": Out(f"{folder}/params.yaml", "persistent")},
        run=params.run,
    )


def init_node(params: RunParams) -> Node:
    return Node(
        run_folder(params.run),
        "init",
        {},
        {"checkpoint": Out(f"{epoch_folder(params.run, 0)}/checkpoint.pt", "large")},
        PARAMS["init"],
        epoch=0,
        run=params.run,
    )


def export_node(params: RunParams) -> Node:
    run, last = params.run, params.epochs
    folder = run_folder(run)
    return Node(
        folder,
        "export",
        {
            "network": f"{epoch_folder(run, last)}/checkpoint.pt",
            "clustering": f"{epoch_folder(run, 'final')}/clustering.json",
        },
        {
            "weights": Out(f"{folder}/model.safetensors", "large"),
            "history": Out(f"{folder}/history.csv"),
        },
        PARAMS["export"],
        run=run,
        several={"metrics": [f"{epoch_folder(run, epoch)}/metrics.json" for epoch in own_epochs(params)]},
    )


def figures_node(run: str, dataset: str) -> Node:
    folder = run_folder(run)
    return Node(
        ".",
        "figures",
        {
            "history": f"{folder}/history.csv",
            "assignments": f"{folder}/final/assignments.parquet",
            "pack": f"{dataset_folder(dataset)}/pack.json",
        },
        {"figures": Out("data/figures")},
        run=run,
    )


def run_nodes(params: RunParams, guards: Mapping[int, Node] | None = None) -> Iterator[Node]:
    """All stages of a run but its data set's, in the order in which they are computed.

    Args:
        guards: the one node of each epoch that is pruned.
    """
    guards = guards or {}
    yield resolve_node(params)
    if params.branch is None:
        yield init_node(params)
    for epoch in own_epochs(params):
        yield from [guards[epoch]] if epoch in guards else epoch_nodes(params, epoch)
    yield from final_nodes(params)
    yield export_node(params)
    if params.run == DEMO:
        yield figures_node(params.run, params.dataset.name)
