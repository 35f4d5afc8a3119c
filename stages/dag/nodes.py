"""A node is one stage in one folder, with the paths that it reads and writes there.

Paths are relative to the project's root, with forward slashes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.dag.stage import Kind

PRUNED = "pruned"
"""The one stage of an epoch whose large artifacts are gone; see `stages.pruned`."""


UNFINISHED = "unfinished"
"""The stage of a run's folder that stands for those which are not made yet; see `stages.unfinished`."""


@dataclass(frozen=True)
class Out:
    """An artifact; `kept` ones survive a rerun whatever their kind: those of a pruned epoch."""

    path: str
    kind: Kind = "cached"
    kept: bool = False


@dataclass(frozen=True)
class Node:
    """One stage of one folder.

    Attributes:
        deps, outs: by the role that each plays.
        keys: of the run's params.yaml that it depends on, its own revision among them.
        epoch: number of the epoch; N + 1 for final/, 0 for `init`; None outside of epochs.
        run: None for the stages of a data set.
        several: dependencies of one role on many files.
    """

    folder: str
    stage: str
    deps: dict[str, str]
    outs: dict[str, Out]
    keys: tuple[str, ...] = ()
    epoch: int | None = None
    run: str | None = None
    several: dict[str, list[str]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.folder}:{self.stage}"

    @property
    def in_epoch(self) -> bool:
        """Whether it stands in one of the run's epochs, not in final/ nor in the run's folder."""
        return bool(self.epoch) and not self.in_final

    @property
    def in_final(self) -> bool:
        return self.folder.endswith("/final")

    def all_deps(self) -> list[str]:
        return [*self.deps.values(), *(path for paths in self.several.values() for path in paths)]
