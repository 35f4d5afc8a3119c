"""Everything that one run is computed from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.errors import Refusal
from stages.parameters.cluster import ClusterParams
from stages.parameters.dataset import DatasetParams
from stages.parameters.extract import ExtractParams
from stages.parameters.model import ModelParams
from stages.parameters.pseudolabel import PseudolabelParams
from stages.parameters.retain import RetainParams
from stages.parameters.train import TrainParams
from stages.parameters.types import Int, Section, Text
from stages.parameters.whiten import WhitenParams


class RunParams(Section):
    """Everything that one run is computed from: the content of its params.yaml."""

    run: Text
    branch: Text | None = None
    """`RUN@EPOCH` that the run starts from; its own first epoch is the one after."""
    seed: Annotated[Int, Field(ge=0)]
    epochs: Annotated[Int, Field(ge=0)]
    dataset: DatasetParams
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]
    precision: Literal["float32", "bf16", "tf32"]
    threads: Annotated[Int, Field(ge=1)]
    workers: Annotated[Int, Field(ge=0)]
    model: ModelParams
    extract: ExtractParams
    whiten: WhitenParams
    cluster: ClusterParams
    pseudolabel: PseudolabelParams
    train: TrainParams
    retain: RetainParams = RetainParams()
    """Of the root's params.yaml alone: no stage depends on it, and the run's own file lacks it."""
    revision: dict[str, int] = Field(default_factory=dict)

    @property
    def start(self) -> int:
        """The epoch that the run starts from: 0, or the one that it branched from."""
        return 0 if self.branch is None else parse_branch(self.branch)[1]


def parse_branch(text: str) -> tuple[str, int]:
    """`demo@37` as ("demo", 37)."""
    run, _, epoch = text.rpartition("@")
    if not run or not epoch.isdecimal():
        raise Refusal(f"{text!r} names no epoch of a run: write it as RUN@EPOCH, such as demo@37")
    return run, int(epoch)
