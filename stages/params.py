"""Typed parameters: one frozen class per section of params.yaml, checked before any work begins.

The root's params.yaml holds the defaults, `datasets` and the overrides of each run (`runs`).
`resolve` merges them into the parameters of one run; every stage reads those alone.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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
    revision: dict[str, int] = Field(default_factory=dict)

    @property
    def start(self) -> int:
        """The epoch that the run starts from: 0, or the one that it branched from."""
        return 0 if self.branch is None else parse_branch(self.branch)[1]


def parse_branch(text: str) -> tuple[str, int]:
    """`demo@37` as ("demo", 37)."""
    run, _, epoch = text.rpartition("@")
    if not run or not epoch.isdigit():
        raise Refusal(f"{text!r} names no epoch of a run: write it as RUN@EPOCH, such as demo@37")
    return run, int(epoch)


NOT_OVERRIDDEN = ("datasets", "runs")
"""Keys of the root's params.yaml that are no parameters of a run."""

LEAST_INPUT = {"alexnet": 63, "vgg16": 32, "resnet18": 32, "resnet50": 32}
"""Smallest `model.input` for which each layer leaves at least one pixel."""


MOST_ASPECT = 16
"""A picture longer than this many times its short side is rejected by `pack`."""


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `override` put over it, section by section."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def resolve(root: Mapping[str, Any], run: str, revision: Mapping[str, int] | None = None) -> RunParams:
    """The parameters of `run`, from the content of the root's params.yaml.

    Raises:
        Refusal: an unknown run, data set or key, or a value of the wrong kind or size.
    """
    runs = root.get("runs")
    if not isinstance(runs, Mapping) or run not in runs:
        known = ", ".join(map(str, runs)) if isinstance(runs, Mapping) and runs else "none"
        raise Refusal(
            f"params.yaml: there is no run {run!r} under `runs` (known: {known}); "
            f"make one with `python -m pipeline run --run {run} --images FOLDER`"
        )
    override = runs[run]
    if override is not None and not isinstance(override, Mapping):
        raise Refusal(f"params.yaml: runs.{run} must be a section of keys, or {{}}")
    base = {key: value for key, value in root.items() if key not in NOT_OVERRIDDEN}
    values = merge(base, override or {})
    name = values.get("dataset")
    datasets = root.get("datasets")
    if not isinstance(datasets, Mapping) or name not in datasets:
        known = ", ".join(map(str, datasets)) if isinstance(datasets, Mapping) else "none"
        raise Refusal(f"params.yaml: dataset: {name!r} is not one of `datasets` ({known})")
    if not isinstance(datasets[name], Mapping):
        raise Refusal(f"params.yaml: datasets.{name} must be a section of keys")
    values["dataset"] = {"name": name, **datasets[name]}
    values["run"] = run
    return validated(_relevant(values) | {"revision": dict(revision or {})}, "params.yaml")


def _relevant(values: dict[str, Any]) -> dict[str, Any]:
    # A key without effect under the chosen method resolves to null, so that editing it reruns nothing.
    cluster, train = values.get("cluster"), values.get("train")
    if isinstance(cluster, Mapping):
        method = cluster.get("method")
        unused = {"kmeans": ("pic",), "pic": ("k", "iterations"), "labels": ("k", "iterations", "pic")}
        absent = dict.fromkeys(unused.get(method, ()) if isinstance(method, str) else ())
        values = values | {"cluster": dict(cluster) | absent}
    if isinstance(train, Mapping) and train.get("schedule") == "constant":
        values = values | {"train": dict(train) | {"horizon": None}}
    return values


def validated(values: Mapping[str, Any], source: str) -> RunParams:
    """`values` as RunParams; the first thing wrong becomes one line that names the key."""
    try:
        params = RunParams.model_validate(values)
    except ValidationError as error:
        raise Refusal(_first_problem(error, values, source)) from None
    _check_sizes(params)
    return params


def _first_problem(error: ValidationError, values: Mapping[str, Any], source: str) -> str:
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if where[0] == "dataset" and isinstance(values.get("dataset"), Mapping):
        where[:1] = ["datasets", str(values["dataset"].get("name"))]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else f"; see the comments in {source}"
        return f"{source}: {key}: no such key{hint}"
    given = first.get("input")
    if first["type"] == "missing":
        return f"{source}: {key} is missing; see the comments in the committed params.yaml"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{source}: {key}: {message}, not {given!r}; correct it with --set {key}=…"


def known_keys() -> list[str]:
    """Every dotted key that a run can be given."""

    def keys(section: type[BaseModel], prefix: str) -> list[str]:
        found = []
        for name, info in section.model_fields.items():
            inner = _section_of(info.annotation)
            found += keys(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
        return found

    return [key for key in keys(RunParams, "") if key not in ("run", "revision")]


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _check_sizes(params: RunParams) -> None:
    model, dataset = params.model, params.dataset
    least = LEAST_INPUT[model.architecture]
    if model.input < least:
        raise Refusal(
            f"params.yaml: model.input: {model.architecture} needs pictures of at least {least} pixels, "
            f"not {model.input}: --set model.input={least}, or a smaller network (vgg16, resnet18 from 32)"
        )
    if model.input > dataset.size:
        raise Refusal(
            f"params.yaml: model.input: {model.input} is larger than the pictures of "
            f"datasets.{dataset.name} (size {dataset.size}): --set model.input={dataset.size}"
        )
    longest = dataset.size * dataset.size * MOST_ASPECT * 3
    if longest > dataset.chunk_mib * 2**20:
        raise Refusal(
            f"params.yaml: datasets.{dataset.name}.chunk_mib: a picture may take {longest / 2**20:.1f} MiB "
            f"and must fit into a chunk of {dataset.chunk_mib}: set it to {math.ceil(longest / 2**20)} or more"
        )
    width = feature_width(model)
    if params.whiten.dim > width:
        raise Refusal(
            f"params.yaml: whiten.dim: {params.whiten.dim} is more than the {width} features of the "
            f"network: --set whiten.dim={width}"
        )
    train = params.train
    if train.schedule == "cosine" and (train.horizon is None or train.horizon < params.epochs):
        raise Refusal(
            f"params.yaml: train.horizon: a cosine schedule over {train.horizon} epochs ends before "
            f"epoch {params.epochs}: --set train.horizon={params.epochs}"
        )
    if params.precision == "tf32" and params.device == "cpu":
        raise Refusal("params.yaml: precision: tf32 needs device: cuda; --set precision=float32")
    if params.branch is not None and params.epochs < params.start:
        raise Refusal(
            f"params.yaml: epochs: {params.epochs} is less than {params.start}, which the run branched "
            f"from: --epochs {params.start + 1}"
        )


def check_counts(params: RunParams, images: int) -> None:
    """Refuses clusters or dimensions that `images` pictures cannot fill."""
    k, dim = params.cluster.k, params.whiten.dim
    if images < 2:
        raise Refusal(
            f"datasets.{params.dataset.name}: {images} usable pictures in {params.dataset.path}; "
            "at least 2 are needed (see rejected.parquet)"
        )
    if k is not None and k > images:
        raise Refusal(
            f"params.yaml: cluster.k: {k} clusters for {images} pictures; --set cluster.k={max(1, images // 20)}"
        )
    if dim > images:
        raise Refusal(
            f"params.yaml: whiten.dim: {dim} dimensions for {images} pictures; --set whiten.dim={max(1, images // 2)}"
        )


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
