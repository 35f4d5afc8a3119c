"""What each stage reads, writes and is tuned by: the one table behind dvc.yaml, runner and status.

Paths are relative to the project's root, with forward slashes. A `Node` is one stage in one
folder; `run_nodes` lists a whole run in the order in which it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from stages.params import RunParams

Kind = Literal["cached", "large", "persistent", "metrics"]

CLUSTERING_STAGES = ("extract", "whiten", "cluster")
TRAINING_STAGES = ("train", "checkpoint")
EPOCH_STAGES = (*CLUSTERING_STAGES, "pseudolabel", *TRAINING_STAGES)

DEMO = "demo"
"""The run whose figures are the root's own stage."""

REVISED_STAGES = ("init", *EPOCH_STAGES, "export")
"""Stages of a run whose module holds a REVISION, raised when its results change."""

# What a stage's result depends on besides its inputs. threads and workers are absent on purpose:
# moving to a larger machine must not recompute days (timings.csv says how many threads were used).
PARAMS: dict[str, tuple[str, ...]] = {
    "init": ("model", "seed"),
    "extract": ("model", "extract", "device", "precision"),
    "whiten": ("whiten",),
    "cluster": (
        "cluster.method",
        "cluster.k",
        "cluster.iterations",
        "cluster.pic",
        "seed",
        "device",
    ),
    "pseudolabel": ("pseudolabel", "seed"),
    "train": ("model", "train", "seed", "device", "precision"),
    "checkpoint": ("model",),
    "export": ("model",),
}

DESCRIPTIONS: dict[str, str] = {
    "generate": "draw the demo's labelled pictures",
    "pack": "resize every picture once and pack the pixels",
    "resolve": "the run's parameters, resolved from the root's params.yaml",
    "init": "the initialised network",
    "extract": "features of the centre crops (section 3.2)",
    "whiten": "PCA, whitening, unit length (section 3.4)",
    "cluster": "assignments, and measures of the clustering (Eq. 2)",
    "pseudolabel": "dense labels, uniform over clusters (section 3.3)",
    "train": "one epoch on the pseudo-labels (Eq. 1)",
    "checkpoint": "the verified network, and the epoch's metrics",
    "export": "backbone weights and the table of epochs",
    "figures": "the demo's curves and clusters",
}


@dataclass(frozen=True)
class Out:
    """An artifact: `large` ones stay outside DVC's cache, `persistent` ones survive a rerun."""

    path: str
    kind: Kind = "cached"


@dataclass(frozen=True)
class Node:
    """One stage of one folder; `deps` and `outs` are named by the role that they play."""

    folder: str
    stage: str
    deps: dict[str, str]
    outs: dict[str, Out]
    params: tuple[str, ...] = ()
    epoch: int | None = None
    run: str | None = None
    several: dict[str, list[str]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.folder}:{self.stage}"

    def all_deps(self) -> list[str]:
        return [*self.deps.values(), *(path for paths in self.several.values() for path in paths)]


def dataset_folder(dataset: str) -> str:
    return f"data/images/{dataset}"


def run_folder(run: str) -> str:
    return f"data/runs/{run}"


def epoch_folder(run: str, epoch: int | Literal["final"]) -> str:
    return f"{run_folder(run)}/final" if epoch == "final" else f"{run_folder(run)}/epochs/{epoch:04d}"


def clustered_epoch(params: RunParams, epoch: int) -> int:
    """The epoch whose clustering `epoch` trains on (`cluster.every`, section 3.4)."""
    return epoch - (epoch - params.start - 1) % params.cluster.every


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


def own_epochs(params: RunParams) -> range:
    """The epochs that this run trains: all, or those after the one that it branched from."""
    return range(params.start + 1, params.epochs + 1)


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
