"""A node: one stage in one folder, with the paths that it reads and writes.

Paths are relative to the project's root, with forward slashes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.dag.stage import Kind

PRUNED = "pruned"
"""Name of the guard: the only stage of an epoch whose large artifacts are gone; see `stages.pruned`."""


UNFINISHED = "unfinished"
"""The stage of a run's folder that stands for those which are not made yet; see `stages.unfinished`."""


@dataclass(frozen=True)
class Out:
    """An output.

    Attributes:
        kept: whether DVC leaves it in place before it runs the stage, whatever its kind; so in a pruned epoch.
    """

    path: str
    kind: Kind = "cached"
    kept: bool = False


@dataclass(frozen=True)
class Node:
    """One stage in one folder.

    Attributes:
        deps: path of each input, by its role in the stage's declaration.
        outs: each output, by its role.
        keys: dotted keys of the run's params.yaml that it depends on, its revision included.
        epoch: number of the epoch; N + 1 in final/ of N epochs, 0 for `init`, None elsewhere.
        run: name of the run; None for the stages of a data set.
        several: paths of the inputs that share a role, such as the metrics of all epochs.
        root_keys: dotted keys of the root's params.yaml that it depends on.
    """

    folder: str
    stage: str
    deps: dict[str, str]
    outs: dict[str, Out]
    keys: tuple[str, ...] = ()
    epoch: int | None = None
    run: str | None = None
    several: dict[str, list[str]] = field(default_factory=dict)
    root_keys: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Folder and stage, such as data/runs/demo/epochs/0001:train."""
        return f"{self.folder}:{self.stage}"

    @property
    def in_epoch(self) -> bool:
        """Whether it belongs to an epoch that the run trains: not to final/, and not to the run's own folder."""
        return bool(self.epoch) and not self.in_final

    @property
    def in_final(self) -> bool:
        """Whether it belongs to the clustering of the finished network."""
        return self.folder.endswith("/final")

    def all_deps(self) -> list[str]:
        """Paths of all inputs, those that share a role last."""
        return [*self.deps.values(), *(path for paths in self.several.values() for path in paths)]
