"""The files of a run's epochs, found by number or as "final", and refused where they are not there; its baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.recording.recorded_files import baseline_is_current, final_is_current
from stages.artifacts.documents import load_json
from stages.artifacts.records import pruned_record
from stages.artifacts.remedies import remedy
from stages.dag.epochs import clustered_epoch, epochs_with, spans
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.names import ASSIGNMENTS, CHECKPOINT, FEATURES, METRICS, PIXELS_BASELINE, WHITENED
from stages.errors import Refusal
from stages.parameters.run import RunParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.artifacts.chunks import ChunkReader

Epoch = int | str
"""An epoch's number, or "final" for the clustering of the finished network."""


class EpochFiles:
    """Where the epochs of a run have their files."""

    def __init__(self, root: Path, run: str, params: RunParams) -> None:
        self.root, self.run, self.params = root, run, params
        self.folder = root / run_folder(run)

    def rows(self, epoch: Epoch, name: str, stage: str) -> ChunkReader:
        from stages.artifacts.chunks import ChunkReader

        if name == WHITENED and not self.params.whitens:
            raise Refusal(
                f"run {self.run} whitens nothing ({self.params.recipe}): what it clusters are the first of its "
                f"features, run.features({epoch!r}).read()[:, 0]"
            )
        self.refuse_pruned(epoch, name)
        path = self.clustered(epoch, name)
        return ChunkReader(path, remedy(stage, self.run, epoch))

    def clustered_rows(self, epoch: Epoch) -> NDArray[np.float32]:
        """(N, dim): what `epoch` clusters, whitened or as it is, in memory."""
        if self.params.whitens:
            return self.rows(epoch, WHITENED, "whiten").read()
        return self.rows(epoch, FEATURES, "extract").read()[:, 0].astype(np.float32)

    def path(self, epoch: Epoch, name: str) -> Path:
        return self.root / epoch_folder(self.run, _where(epoch)) / name

    def whole(self, epoch: int, name: str) -> Path:
        """A file that a pruned epoch has no more."""
        self.refuse_pruned(epoch, name)
        return self.path(epoch, name)

    def refuse_pruned(self, epoch: Epoch, name: str) -> None:
        where = _where(epoch)
        if where == "final":
            return
        if name in (FEATURES, WHITENED) and where > self.params.start:
            where = clustered_epoch(self.params, where)
        if not self.path(where, name).exists() and pruned_record(self.path(where, "")) is not None:
            found = epochs_with(self.folder, name)
            raise Refusal(
                f"epoch {where} of run {self.run} is pruned and keeps no {name} (`retain` in params.yaml); "
                f"epochs that have it: {spans(found)}"
            )

    def clustered(self, epoch: Epoch, name: str) -> Path:
        """A file of the clustering that `epoch` trained on."""
        where = _where(epoch)
        if where != "final" and where > self.params.start:
            epoch = clustered_epoch(self.params, where)
        path = self.path(epoch, name)
        if epoch == "final" and path.exists() and not final_is_current(self.root, self.params):
            raise Refusal(f"{path} is of an earlier network: `python -m pipeline run --run {self.run}` makes it again")
        if not path.exists():
            clusterings = self.clusterings()
            finished = ", ".join(map(str, clusterings)) or "none"
            beyond = where == self.params.epochs + 1 and "final" in clusterings
            last = "; the last row of `history` is final" if beyond else ""
            raise Refusal(f"{path} is missing; epochs with a clustering: {finished}{last}")
        return path

    def network_of(self, epoch: Epoch) -> Path:
        """The checkpoint of the network whose features `epoch` clusters, refused where it is pruned."""
        where = _where(epoch)
        path = self.path(self._network_before(where), CHECKPOINT)
        if not path.exists() and pruned_record(path.parent) is not None:
            usable = [n for n in self.clusterings() if self.path(self._network_before(n), CHECKPOINT).exists()]
            raise Refusal(
                f"{path}, whose network gave epoch {where} its clusters, is pruned (`retain` in params.yaml); epochs "
                f"that have theirs: {', '.join(map(str, usable)) or 'none'} (`--epoch N`)"
            )
        return path

    def _network_before(self, epoch: Epoch) -> int:
        if epoch == "final":
            return self.params.epochs
        return clustered_epoch(self.params, int(epoch)) - 1

    def latest(self) -> Epoch:
        """ "final", or the last whole epoch of a run that is not finished.

        Raises:
            Refusal: no epoch is whole yet.
        """
        clusterings = self.clusterings()
        if "final" in clusterings:
            return "final"
        whole = [epoch for epoch in epochs_with(self.folder, METRICS) if epoch > self.params.start]
        if not whole:
            # Of a run without pictures there is never one, which this says.
            _ = self.params.pictures
            raise Refusal(
                f"run {self.run} has no whole epoch yet: `python -m pipeline run --run {self.run}` goes on with it"
            )
        return whole[-1]

    def baseline(self) -> dict[str, Any] | None:
        """What k-means on pixels measured; None where it is not there, or of another number of clusters."""
        path = self.folder / PIXELS_BASELINE
        return load_json(path) if path.exists() and baseline_is_current(self.root, self.params) else None

    def clusterings(self) -> list[Epoch]:
        numbers: list[Epoch] = [*epochs_with(self.folder, ASSIGNMENTS)]
        final = (self.folder / "final" / ASSIGNMENTS).exists() and final_is_current(self.root, self.params)
        return [*numbers, "final"] if final else numbers


def _where(epoch: Epoch) -> int | Literal["final"]:
    if epoch == "final":
        return "final"
    try:
        return int(epoch)
    except ValueError:
        raise Refusal(f"{epoch!r} is no epoch: give a number, or final") from None
