"""What a stage is: its name, the parameters that it depends on, the files that it reads and writes.

A `Node` is one stage in one folder. Paths are relative to the project's root, with forward slashes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["cached", "large", "persistent", "metrics"]

PRUNED = "pruned"
"""The one stage of an epoch whose large artifacts are gone; see `stages.pruned`."""

CLUSTERING_STAGES = ("extract", "whiten", "cluster")
TRAINING_STAGES = ("train", "checkpoint")
EPOCH_STAGES = (*CLUSTERING_STAGES, "pseudolabel", *TRAINING_STAGES)

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

GUARDED: tuple[str, ...] = tuple(
    dict.fromkeys(
        [key for stage in ("init", *EPOCH_STAGES) for key in PARAMS[stage]]
        + [f"revision.{stage}" for stage in ("init", *EPOCH_STAGES)]
    )
)
"""What a pruned epoch was made with: everything that any stage up to its end is tuned by."""

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
    PRUNED: "an epoch whose large artifacts were dropped; it cannot be computed again",
}


@dataclass(frozen=True)
class Out:
    """An artifact: `large` ones stay outside DVC's cache, `persistent` ones survive a rerun.

    `kept` ones survive it too and are otherwise of their kind: those of a pruned epoch.
    """

    path: str
    kind: Kind = "cached"
    kept: bool = False


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

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the run's params.yaml that it depends on, its own revision among them."""
        return self.params if self.stage == PRUNED else (*self.params, f"revision.{self.stage}")

    def all_deps(self) -> list[str]:
        return [*self.deps.values(), *(path for paths in self.several.values() for path in paths)]
