"""Which epochs stay whole (`retain`): one simulation behind the disk estimate, `prune --dry-run` and pruning itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stages.parameters.retain import RetainParams


def stays_whole(retain: RetainParams, epoch: int, newest: int) -> bool:
    """Whether an epoch keeps everything once `newest` is finished."""
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
    """One epoch that is pruned.

    Attributes:
        keeps_checkpoint: its own, since the next epoch is whole and was made from it.
        keeps_network: the epoch before still has the checkpoint that this one was made from.
        releases: the pruned epoch whose checkpoint nobody starts from any more.
    """

    epoch: int
    keeps_checkpoint: bool
    keeps_network: bool
    releases: int | None


@dataclass
class Simulation:
    """Which epochs are whole, and which pruned ones hold a checkpoint, as later ones are finished.

    Attributes:
        newest: the last finished epoch.
        whole, pruned, holding: numbers of epochs; `holding` are the pruned ones that keep their checkpoint.
    """

    retain: RetainParams
    newest: int
    whole: set[int] = field(default_factory=set)
    pruned: set[int] = field(default_factory=set)
    holding: set[int] = field(default_factory=set)

    def found_pruned(self, epoch: int, *, holds: bool) -> None:
        """Takes note of an epoch that was pruned before."""
        self.pruned.add(epoch)
        if holds:
            self.holding.add(epoch)

    def finish(self, epoch: int) -> None:
        """Takes note of a finished epoch that is whole."""
        self.newest = epoch
        self.whole.add(epoch)

    def due(self) -> list[int]:
        """Whole epochs that the policy drops, the latest first: so none that is whole ever lacks its input."""
        return sorted((e for e in self.whole if not stays_whole(self.retain, e, self.newest)), reverse=True)

    def prune(self) -> Iterator[Step]:
        """Prunes what is due, an epoch at a time."""
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
