"""An evaluation of a run: an entry of `evaluations`, with the data that it reads, and what its stage depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from stages.parameters.dataset import DatasetParams
from stages.parameters.protocols import ProtocolParams
from stages.parameters.sets import EvaluationSet
from stages.parameters.types import Device, Precision, Section, Seed

P = TypeVar("P", bound=ProtocolParams)


@dataclass(frozen=True)
class Evaluation:
    """An entry of `evaluations`, resolved.

    Attributes:
        params: the entry.
        datasets: the packed data sets that it reads.
        sets: the evaluation sets that it reads.
    """

    params: ProtocolParams
    datasets: tuple[DatasetParams, ...]
    sets: tuple[EvaluationSet, ...]

    @property
    def name(self) -> str:
        return self.params.name


class EvaluationKeys(Section, Generic[P]):
    """What the stage of a protocol depends on: its entry, and of the run the random state and the device."""

    evaluation: P
    """The entry of `evaluations` in the root's params.yaml."""
    seed: Seed
    device: Device
    precision: Precision
