"""Typed parameters: one frozen class per section of params.yaml, checked before any work begins.

The root's params.yaml holds the defaults, `datasets` and the overrides of each run (`runs`).
`resolve` merges them into the parameters of one run; every stage reads those alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stages.errors import Refusal


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-5 as text and YAML 1.2 as a number: both must mean the same here.
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if set(value) <= set("0123456789.eE+-_") else value
    return value


def _whole(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _all(value: Any) -> Any:
    return None if value == "all" else value


Float = Annotated[float, BeforeValidator(_number), Field(strict=True, allow_inf_nan=False)]
Int = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GenerateParams(Section):
    images: Annotated[Int, Field(ge=20)]
    """Pictures to draw, the same number of each class."""
    seed: Annotated[Int, Field(ge=0)] = 0


class DatasetParams(Section):
    """One entry of `datasets`; packing depends on nothing else."""

    name: Text
    path: Text
    """A folder of pictures, or a text file with a path a line; relative to the project's root."""
    size: Annotated[Int, Field(ge=8, le=4096)]
    """Short side in pixels to which every picture is resized once (256 in the paper)."""
    labels: Bool = True
    """Whether the first folder level is a class; used to measure, never to train."""
    chunk_mib: Annotated[Int, Field(ge=1, le=4096)] = 128
    generate: GenerateParams | None = None


class ModelParams(Section):
    architecture: Literal["alexnet", "vgg16", "resnet18", "resnet50"]
    sobel: Bool
    input: Annotated[Int, Field(ge=1)]
    width: Annotated[Float, Field(gt=0, le=4)]


class ExtractParams(Section):
    batch: Annotated[Int, Field(ge=1)]
    dtype: Literal["float32", "float16"]
    chunk_rows: Annotated[Int, Field(ge=1)]


class WhitenParams(Section):
    dim: Annotated[Int, Field(ge=1)]


class PICParams(Section):
    """Power Iteration Clustering (section 3.2 names it; supplementary material of the paper)."""

    neighbours: Annotated[Int, Field(ge=1)]
    sigma: Annotated[Float, Field(gt=0)]
    alpha: Annotated[Float, Field(gt=0, lt=1)]
    iterations: Annotated[Int, Field(ge=1)]


class ClusterParams(Section):
    method: Literal["kmeans", "pic", "labels"]
    k: Annotated[Int, Field(ge=1)] | None
    iterations: Annotated[Int, Field(ge=1)] | None
    every: Annotated[Int, Field(ge=1)]
    pic: PICParams | None


class PseudolabelParams(Section):
    permuted: Bool
    """Shuffle the labels over the images: the control in which nothing can be learned from them."""


class TrainParams(Section):
    batch: Annotated[Int, Field(ge=2)]
    lr: Annotated[Float, Field(gt=0)]
    momentum: Annotated[Float, Field(ge=0, lt=1)]
    weight_decay: Annotated[Float, Field(ge=0)]
    dropout: Annotated[Float, Field(ge=0, lt=1)]
    passes: Annotated[Float, Field(gt=0)]
    sampling: Literal["uniform", "released-code"]
    schedule: Literal["constant", "cosine"]
    horizon: Annotated[Int, Field(ge=1)] | None


class RetainParams(Section):
    """Which epochs stay whole; the others lose features.zarr, whitened.zarr, trained/ and checkpoint.pt."""

    last: Annotated[Annotated[Int, Field(ge=1)] | None, BeforeValidator(_all)] = None
    """How many of the newest; `all` in the file, None here: every one."""
    every: Annotated[Int, Field(ge=0)] = 0
    """And each whose number is a multiple of it; 0: no others."""


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


MOST_ASPECT = 16
"""A picture longer than this many times its short side is rejected by `pack`."""


LEAST_INPUT = {"alexnet": 63, "vgg16": 32, "resnet18": 32, "resnet50": 32}
"""Smallest `model.input` for which each layer leaves at least one pixel."""


def feature_width(model: ModelParams) -> int:
    """Number of features that the network gives per image."""
    full = {"alexnet": 4096, "vgg16": 4096, "resnet18": 512, "resnet50": 2048}[model.architecture]
    return scaled(full, model.width)


def scaled(channels: int, width: float) -> int:
    """`channels` of the paper's network at a `width`, at least 1."""
    return max(1, round(channels * width))


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key of nested sections."""
    value: Any = values
    for part in key.split("."):
        value = value[part]
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two parameter values are equal, 1e-05 as text being the number that it means."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if a == b:
        return True
    if isinstance(a, str) or isinstance(b, str):
        try:
            return float(a) == float(b)
        except (TypeError, ValueError):
            return False
    return False
