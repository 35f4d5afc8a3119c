"""What parameters must satisfy together, checked before any work begins."""

from __future__ import annotations

import math

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.dataset import MOST_ASPECT, DatasetParams
from stages.parameters.run import RunParams
from stages.words import plural


def check_chunk(dataset: DatasetParams) -> None:
    longest = dataset.size * dataset.size * MOST_ASPECT * 3
    if longest > dataset.chunk_mib * 2**20:
        raise Refusal(
            f"params.yaml: datasets.{dataset.name}.chunk_mib: a picture may take {longest / 2**20:.1f} MiB "
            f"and must fit into a chunk of {dataset.chunk_mib}: set it to {math.ceil(longest / 2**20)} or more"
        )


def check_sizes(params: RunParams) -> None:
    model, dataset = params.model, params.dataset
    architecture = ARCHITECTURES[model.architecture]
    least = architecture.least_input
    if model.input < least:
        fitting = ", ".join(name for name, other in ARCHITECTURES.items() if other.least_input <= model.input)
        raise Refusal(
            f"params.yaml: model.input: {model.architecture} needs pictures of at least {least} pixels, "
            f"not {model.input}: --set model.input={least}"
            + (f", or another model.architecture ({fitting})" if fitting else "")
        )
    if model.input > dataset.size:
        raise Refusal(
            f"params.yaml: model.input: {model.input} is larger than the pictures of "
            f"datasets.{dataset.name} (size {dataset.size}): --set model.input={dataset.size}"
        )
    check_chunk(dataset)
    features = architecture.features(model.width)
    if params.whiten.dim > features:
        raise Refusal(
            f"params.yaml: whiten.dim: {params.whiten.dim} is more than the {features} features of the "
            f"network: --set whiten.dim={features}"
        )
    _check_method(params)
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


def _check_method(params: RunParams) -> None:
    cluster = params.cluster
    if cluster.method == "kmeans":
        needed = {"k": cluster.k, "iterations": cluster.iterations}
    elif cluster.method == "pic":
        needed = {f"pic.{key}": value for key, value in cluster.pic}
    else:
        needed = {}
    for key, value in needed.items():
        if value is None:
            raise Refusal(
                f"params.yaml: cluster.{key}: null, and cluster.method {cluster.method} needs it: --set cluster.{key}=…"
            )


def check_counts(params: RunParams, images: int, labelled: int | None = None) -> None:
    """Refuses clusters or dimensions that `images` pictures, `labelled` of them with a class, cannot fill."""
    neighbours = params.cluster.pic.neighbours
    if neighbours is not None and neighbours >= images:
        raise Refusal(
            f"params.yaml: cluster.pic.neighbours: {neighbours} neighbours need more than {plural(images, 'picture')}; "
            f"--set cluster.pic.neighbours={max(1, images - 1)}"
        )
    if params.cluster.method == "labels" and labelled is not None and labelled < images:
        raise Refusal("params.yaml: cluster.method: labels: some pictures have none; --set cluster.method=kmeans")
    k, dim = params.cluster.k, params.whiten.dim
    if images < 2:
        where = "" if labelled is None else " (see rejected.parquet)"
        raise Refusal(
            f"datasets.{params.dataset.name}: {plural(images, 'usable picture')} in {params.dataset.path}; "
            f"at least 2 are needed{where}"
        )
    wrong = [f"whiten.dim: {dim} dimensions"] if dim > images else []
    fitting = f" --set whiten.dim={max(1, images // 2)}" if wrong else ""
    if k is not None and k > images:
        wrong.insert(0, f"cluster.k: {k} clusters")
        fitting = f" --set cluster.k={max(1, images // 20)}{fitting}"
    if wrong:
        raise Refusal(f"params.yaml: {' and '.join(wrong)} for {plural(images, 'picture')};{fitting}")
