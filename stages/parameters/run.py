"""Everything that one run is computed from."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model, field_serializer

import stages.parameters
from stages.errors import Refusal
from stages.parameters.cluster import ClusterParams
from stages.parameters.dataset import DatasetParams
from stages.parameters.evaluation import Evaluation
from stages.parameters.extract import ExtractParams
from stages.parameters.final import FinalParams, at_the_end
from stages.parameters.init import InitParams
from stages.parameters.model import ModelParams
from stages.parameters.named import refuse_name
from stages.parameters.pseudolabel import PseudolabelParams
from stages.parameters.retain import RetainParams
from stages.parameters.train import TrainParams
from stages.parameters.types import Device, Float, Int, Precision, Recipe, Section, Seed, Text
from stages.parameters.whiten import WhitenParams


def _absent(value: Any) -> Any:
    return None if isinstance(value, Mapping) and value.get("name", "") is None else value


class RunParams(Section):
    """Everything that one run is computed from: the content of its params.yaml."""

    run: Text
    """Its name, and its folder below data/runs."""
    branch: Text | None = None
    """`RUN@EPOCH` that the run starts from; its own first epoch is the one after."""
    seed: Seed
    """Of everything random; with the epoch and the stage it fixes each result."""
    recipe: Recipe = "deepcluster"
    """The paper's, or DeepCluster-v2 (Caron et al. 2020, "Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments", appendix), which trains on the centroids of several clusterings."""
    epochs: Annotated[Int, Field(ge=0)]
    """How many are trained (500 in the paper); 0 clusters the random network."""
    dataset: Annotated[DatasetParams | None, BeforeValidator(_absent)]
    """The pictures; in the root's params.yaml the name of one of `datasets`. None: a run of 0 epochs without pictures,
    which is there to be evaluated."""
    device: Device = "cpu"
    """Where networks, whitening and k-means are computed: cpu, cuda or cuda:N."""
    precision: Precision
    """Arithmetic of the network: float32, bf16 (any device), tf32 (cuda)."""
    threads: Annotated[Int, Field(ge=1)]
    """Of arithmetic; another number changes last digits, and nothing is redone for it."""
    workers: Annotated[Int, Field(ge=0)]
    """Threads that prepare batches; never changes a result."""
    device_memory: Annotated[Float, Field(ge=0, le=1)] = 0.5
    """Share of a GPU's free memory that the pictures of a data set may take, to stay there for a stage; never changes a
    result."""
    model: ModelParams
    init: InitParams = InitParams()
    extract: ExtractParams
    whiten: WhitenParams
    cluster: ClusterParams
    pseudolabel: PseudolabelParams
    train: TrainParams
    final: FinalParams = FinalParams()
    retain: RetainParams = RetainParams()
    """Of the root's params.yaml alone: no stage depends on it, and the run's own file lacks it."""
    evaluations: tuple[Evaluation, ...] = ()
    """What the finished network is measured by (section 4); in the root's params.yaml names of `evaluations`. No stage
    depends on the list, and the run's own file lacks it."""
    revision: dict[str, int] = Field(default_factory=dict)
    """REVISION of each stage's module."""

    @property
    def start(self) -> int:
        """The epoch that the run starts from: 0, or the one that it branched from."""
        return 0 if self.branch is None else parse_branch(self.branch)[1]

    @field_serializer("dataset")
    def _every_key(self, dataset: DatasetParams | None) -> dict[str, Any]:
        """Null under each key where there is none: DVC fails on a key that it tracks and that is gone."""
        if dataset is not None:
            return dataset.model_dump()
        return dict.fromkeys(DatasetParams.model_fields)

    @property
    def whitens(self) -> bool:
        """Whether features are whitened, or clustered as they are."""
        return self.recipe == "deepcluster"

    @property
    def at_the_end(self) -> RunParams:
        """The parameters that hold in final/."""
        return at_the_end(self, self.final)

    @property
    def pictures(self) -> DatasetParams:
        """The data set, for what needs one.

        Raises:
            Refusal: the run has none.
        """
        if self.dataset is None:
            raise Refusal(f"run {self.run} has no pictures (dataset: null): it is there to be evaluated alone")
        return self.dataset


NOT_OF_ROOT = ("run", "branch", "retain", "evaluations", "revision")
"""Fields of RunParams that `resolve` does not track in the root's params.yaml: what is kept, or measured in the end,
changes no result."""


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
