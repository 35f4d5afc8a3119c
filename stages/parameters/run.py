"""Everything that one run is computed from."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Annotated, Any

from pydantic import Field, create_model

import stages.parameters
from stages.errors import Refusal
from stages.parameters.cluster import ClusterParams
from stages.parameters.dataset import DatasetParams
from stages.parameters.extract import ExtractParams
from stages.parameters.model import ModelParams
from stages.parameters.named import refuse_name
from stages.parameters.pseudolabel import PseudolabelParams
from stages.parameters.retain import RetainParams
from stages.parameters.train import TrainParams
from stages.parameters.types import Device, Int, Precision, Section, Seed, Text
from stages.parameters.whiten import WhitenParams


class RunParams(Section):
    """Everything that one run is computed from: the content of its params.yaml."""

    run: Text
    """Its name, and its folder below data/runs."""
    branch: Text | None = None
    """`RUN@EPOCH` that the run starts from; its own first epoch is the one after."""
    seed: Seed
    """Of everything random; with the epoch and the stage it fixes each result."""
    epochs: Annotated[Int, Field(ge=0)]
    """How many are trained (500 in the paper); 0 clusters the random network."""
    dataset: DatasetParams
    """The pictures; in the root's params.yaml the name of one of `datasets`."""
    device: Device
    """Where networks and clusters are computed: cpu, cuda or cuda:N."""
    precision: Precision
    """Arithmetic of the network: float32, bf16 (any device), tf32 (cuda)."""
    threads: Annotated[Int, Field(ge=1)]
    """Of arithmetic; another number changes last digits, and nothing is redone for it."""
    workers: Annotated[Int, Field(ge=0)]
    """Threads that prepare batches; never changes a result."""
    model: ModelParams
    extract: ExtractParams
    whiten: WhitenParams
    cluster: ClusterParams
    pseudolabel: PseudolabelParams
    train: TrainParams
    retain: RetainParams = RetainParams()
    """Of the root's params.yaml alone: no stage depends on it, and the run's own file lacks it."""
    revision: dict[str, int] = Field(default_factory=dict)
    """REVISION of each stage's module."""

    @property
    def start(self) -> int:
        """The epoch that the run starts from: 0, or the one that it branched from."""
        return 0 if self.branch is None else parse_branch(self.branch)[1]


NOT_OF_ROOT = ("run", "branch", "retain", "revision")
"""Fields of RunParams that `resolve` does not track in the root's params.yaml: what is kept changes no result."""


@cache
def run_params_class() -> type[RunParams]:
    """RunParams, with the section of each module beside this one that it does not name.

    So a new stage brings its section by its own module: NAME.py with a class NameParams, all of whose fields have
    defaults, since the params.yaml files of today lack it.
    """
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(stages.parameters.__path__):
        if module.name not in RunParams.model_fields:
            name = module.name.title().replace("_", "") + "Params"
            section = getattr(importlib.import_module(f"stages.parameters.{module.name}"), name, None)
            if section is not None:
                found[module.name] = (section, section())
    return create_model("RunParams", __base__=RunParams, **found)


def root_sections() -> tuple[str, ...]:
    """Top-level keys of the root's params.yaml that a run is resolved from, besides its own entry and data set."""
    return tuple(name for name in run_params_class().model_fields if name not in NOT_OF_ROOT)


def parse_branch(text: str) -> tuple[str, int]:
    """`demo@37` as ("demo", 37)."""
    run, _, epoch = text.rpartition("@")
    if not run or not epoch.isdecimal():
        raise Refusal(f"{text!r} names no epoch of a run: write it as RUN@EPOCH, such as demo@37")
    refuse_name(run, "--from")
    return run, int(epoch)
