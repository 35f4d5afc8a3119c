"""What parameters must satisfy together, checked before any work begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, PlainNetwork
from stages.method.formats import MOST_ASPECT
from stages.method.named_layers import names, places
from stages.parameters.dataset import DatasetParams
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
    if dataset is None:
        if params.epochs:
            raise Refusal(
                f"params.yaml: dataset: null goes with epochs: 0 alone, and run {params.run} has {params.epochs}: "
                "--epochs 0, or --set dataset=NAME"
            )
    elif model.input > dataset.size:
        raise Refusal(
            f"params.yaml: model.input: {model.input} is larger than the pictures of "
            f"datasets.{dataset.name} (size {dataset.size}): --set model.input={dataset.size}"
        )
    else:
        check_chunk(dataset)
    features = architecture.features(model.width)
    for prefix, section in (("", params), ("final.", params.at_the_end)):
        if params.whitens and section.whiten.dim > features:
            raise Refusal(
                f"params.yaml: {prefix}whiten.dim: {section.whiten.dim} is more than the {features} features of the "
                f"network: --set {prefix}whiten.dim={features}"
            )
    _check_method(params)
    _check_recipe(params)
    _check_init(params)
    _check_sides(params)
    _check_train(params)
    train = params.train
    if train.schedule == "cosine" and (train.horizon is None or train.horizon < params.epochs):
        raise Refusal(
            f"params.yaml: train.horizon: a cosine schedule over {train.horizon} epochs ends before "
            f"epoch {params.epochs}: --set train.horizon={params.epochs}"
        )
    check_evaluations(params)
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


def _check_recipe(params: RunParams) -> None:
    if params.recipe == "deepcluster":
        return
    if params.cluster.method != "kmeans":
        raise Refusal(
            f"params.yaml: cluster.method: {params.recipe} trains on the centroids of k-means, and "
            f"{params.cluster.method} has none: --set cluster.method=kmeans"
        )
    if params.cluster.heads < params.extract.views:
        raise Refusal(
            f"params.yaml: extract.views: {params.cluster.heads} clusterings (cluster.heads) read no more than as many "
            f"views, not {params.extract.views}: --set extract.views={params.cluster.heads}"
        )
    needed = {f"model.projection.{key}": value for key, value in params.model.projection}
    for key, value in (needed | {"train.temperature": params.train.temperature}).items():
        if value is None:
            raise Refusal(f"params.yaml: {key}: null, and recipe {params.recipe} needs it: --set {key}=…")


def _check_sides(params: RunParams) -> None:
    """Refuses sides that the network does not take, and a centre that is larger than the packed pictures."""
    train, model = params.train, params.model
    architecture = ARCHITECTURES[model.architecture]
    side, small = train.sides(model)
    wanted = [
        ("train.input", side, "null"),
        ("extract.input", params.extract.side(model), "null"),
        ("final.extract.input", params.at_the_end.extract.side(model), "null"),
    ]
    if train.small.views:
        wanted.append(("train.small.input", small, "null"))
    for key, pixels, otherwise in wanted:
        if pixels != model.input and isinstance(architecture, PlainNetwork):
            if key == "train.small.input":
                key, otherwise = "train.small.views", "0"
            raise Refusal(
                f"params.yaml: {key}: {model.architecture} takes pictures of model.input alone, {model.input} "
                f"pixels: --set {key}={otherwise}"
            )
        if pixels < architecture.least_input:
            raise Refusal(
                f"params.yaml: {key}: {model.architecture} needs pictures of at least {architecture.least_input} "
                f"pixels, not {pixels}: --set {key}={otherwise}"
            )
    for prefix, section in (("", params.extract), ("final.", params.at_the_end.extract)):
        pixels = section.side(model)
        if section.view == "centre" and params.dataset is not None and pixels > params.dataset.size:
            raise Refusal(
                f"params.yaml: {prefix}extract.input: {pixels} is larger than the pictures of datasets."
                f"{params.dataset.name} (size {params.dataset.size}), of which the centre is to be seen: "
                f"--set {prefix}extract.input=null"
            )


def _check_train(params: RunParams) -> None:
    train = params.train
    if train.small.views and train.small.area > train.small.area_most:
        raise Refusal(
            f"params.yaml: train.small.area: {train.small.area:g} is more than train.small.area_most, "
            f"{train.small.area_most:g}: --set train.small.area_most={train.small.area:g}"
        )
    if train.batch < 2 * train.shards:
        raise Refusal(
            f"params.yaml: train.shards: batch normalisation needs 2 pictures in each of {train.shards} parts, and "
            f"train.batch is {train.batch}: --set train.shards={max(1, train.batch // 2)}"
        )
    if train.nesterov and not (train.momentum or train.top_momentum):
        raise Refusal("params.yaml: train.nesterov: there is no momentum to look ahead by: --set train.nesterov=false")


def _check_init(params: RunParams) -> None:
    init = params.init
    if init.weights is not None and init.sha256 is None:
        raise Refusal(
            "params.yaml: init.sha256: null, and init.weights names a file: begin a run with --weights FILE, which "
            f"writes both, or --set init.sha256=… (`sha256sum {init.weights}` tells it)"
        )
    if init.weights is None and init.sha256 is not None:
        raise Refusal(
            "params.yaml: init.weights: null, and init.sha256 is of a file: --set init.weights=FILE, or null for both"
        )


def check_evaluations(params: RunParams) -> None:
    """Refuses evaluations that do not fit the run's network, or whose sets do not fit their protocol."""
    architecture = ARCHITECTURES[params.model.architecture]
    for evaluation in params.evaluations:
        entry, where = evaluation.params, f"params.yaml: evaluations.{evaluation.name}"
        if entry.needs_hidden and not isinstance(architecture, PlainNetwork):
            raise Refusal(
                f"{where}: {entry.protocol} goes on from fc6 and fc7, which {params.model.architecture} of run "
                f"{params.run} lacks: take a run of alexnet or vgg16"
            )
        known = tuple(places(architecture)) if entry.needs_maps else names(architecture)
        for key, layers in entry.named_layers().items():
            for layer in layers:
                if layer not in known:
                    raise Refusal(
                        f"{where}.{key}: {params.model.architecture} of run {params.run} has no {layer} here; it has "
                        f"{', '.join(known)}"
                    )
        for wrong in (entry.contradiction(), *map(entry.unfit, evaluation.sets)):
            if wrong is not None:
                raise Refusal(where + wrong)
        for dataset in evaluation.datasets:
            if dataset.size < params.model.input:
                raise Refusal(
                    f"{where}: the pictures of datasets.{dataset.name} (size {dataset.size}) are smaller than the "
                    f"{params.model.input} pixels that run {params.run} sees"
                )


def same_classes(train: Sequence[str], test: Sequence[str], first: str, second: str) -> None:
    """Refuses to test on other classes than were trained on.

    Args:
        train, test: names of the classes.
        first, second: what has them.
    """
    for one, other in zip_longest(train, test):
        if one != other:
            raise Refusal(
                f"{first} and {second} have other classes ({len(train)} and {len(test)}); the first that differs: "
                f"{one or 'none'} and {other or 'none'}"
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
    if images < 2:
        where = "" if labelled is None else " (see rejected.parquet)"
        raise Refusal(
            f"datasets.{params.pictures.name}: {plural(images, 'usable picture')} in {params.pictures.path}; "
            f"at least 2 are needed{where}"
        )
    wrong, fitting = list[str](), ""
    for prefix, section in (("", params), ("final.", params.at_the_end)):
        if wrong:
            break
        k, dim = section.cluster.k, section.whiten.dim
        if k is not None and k > images:
            wrong.append(f"{prefix}cluster.k: {k} clusters")
            fitting += f" --set {prefix}cluster.k={max(1, images // 20)}"
        if params.whitens and dim > images:
            wrong.append(f"{prefix}whiten.dim: {dim} dimensions")
            fitting += f" --set {prefix}whiten.dim={max(1, images // 2)}"
    if wrong:
        raise Refusal(f"params.yaml: {' and '.join(wrong)} for {plural(images, 'picture')};{fitting}")
