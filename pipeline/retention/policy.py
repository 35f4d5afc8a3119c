"""Which epochs stay whole (`retain`): one simulation, used by the disk estimate, `prune --dry-run` and pruning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stages.parameters.retain import RetainParams


def stays_whole(retain: RetainParams, epoch: int, newest: int) -> bool:
    """Whether `epoch` keeps all its artifacts once `newest` is finished."""
    if retain.last is None or epoch > newest - retain.last:
        return True
    return retain.every > 0 and epoch % retain.every == 0


def describe(retain: RetainParams) -> str:
    """The policy in words."""
    if retain.last is None:
        return "every epoch stays whole"
    every = f" and each {retain.every}th" if retain.every else ""
    return f"the last {retain.last}{every} stay whole"


@dataclass(frozen=True)
class Step:
    """The pruning of one epoch.

    Attributes:
        epoch: its number.
        keeps_checkpoint: whether it keeps its checkpoint, because the next epoch is whole and started from it.
        keeps_network: whether the epoch before still has the checkpoint that this one started from.
        releases: number of the pruned epoch before, if it can now drop the checkpoint that it kept for this one.
    """

    epoch: int
    keeps_checkpoint: bool
    keeps_network: bool
    releases: int | None


@dataclass
class Simulation:
    """Which epochs are whole and which are pruned, while one after the other is finished.

    Attributes:
        newest: number of the last finished epoch.
        whole: numbers of the finished epochs that have all their artifacts.
        pruned: numbers of the pruned epochs.
        holding: numbers of the pruned epochs that keep their checkpoint.
    """

    retain: RetainParams
    newest: int
    whole: set[int] = field(default_factory=set)
    pruned: set[int] = field(default_factory=set)
    holding: set[int] = field(default_factory=set)

    def found_pruned(self, epoch: int, *, holds: bool) -> None:
        """Enters an epoch that is pruned already; `holds`: whether it keeps its checkpoint."""
        self.pruned.add(epoch)
        if holds:
            self.holding.add(epoch)

    def finish(self, epoch: int) -> None:
        """Enters the next finished epoch, which is whole."""
        self.newest = epoch
        self.whole.add(epoch)

    def due(self) -> list[int]:
        """Whole epochs to prune, the latest first, so that an epoch never loses its input while it is whole."""
        return sorted((e for e in self.whole if not stays_whole(self.retain, e, self.newest)), reverse=True)

    def prune(self) -> Iterator[Step]:
        """Prunes the epochs that are due, and yields a step for each."""
        due = self.due()
        for epoch in due:
            before = epoch - 1
            self.whole.discard(epoch)
            keeps = epoch + 1 not in self.pruned
            network = before not in self.pruned and before not in due
            releases = before if before in self.holding else None
            self.found_pruned(epoch, holds=keeps)
            self.holding.discard(before)
            yield Step(epoch, keeps, network, releases)
