"""What each stage reads, writes and is tuned by: the one table behind dvc.yaml, runner and status.

`run_nodes` lists a whole run in the order in which it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from stages.folders import clustered_epoch, dataset_folder, epoch_folder, own_epochs, run_folder
from stages.nodes import PARAMS, Node, Out
from stages.params import RunParams

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


def run_nodes(params: RunParams) -> Iterator[Node]:
    """All stages of a run but its data set's, in the order in which they are computed."""
    yield resolve_node(params)
    if params.branch is None:
        yield init_node(params)
    for epoch in own_epochs(params):
        yield from epoch_nodes(params, epoch)
    yield from final_nodes(params)
    yield export_node(params)
    if params.run == DEMO:
        yield figures_node(params.run, params.dataset.name)
