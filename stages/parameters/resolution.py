"""From the root's params.yaml to the parameters of one run; the first thing wrong becomes one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stages.errors import Refusal
from stages.parameters.checks import check_chunk, check_sizes
from stages.parameters.cluster import PICParams
from stages.parameters.dataset import DatasetKeys, DatasetParams
from stages.parameters.keys import leaves
from stages.parameters.named import no_run, refuse_name
from stages.parameters.run import RunParams, run_params_class

NOT_OVERRIDDEN = ("datasets", "runs")
"""Keys of the root's params.yaml that are no parameters of a run."""


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


def resolve_run(root: Mapping[str, Any], run: str, revision: Mapping[str, int] | None = None) -> RunParams:
    """The parameters of `run`, from the content of the root's params.yaml.

    Raises:
        Refusal: an unknown run, data set or key, or a value of the wrong kind or size.
    """
    refuse_name(run)
    runs = root.get("runs")
    for name in runs if isinstance(runs, Mapping) else ():
        if str(name) == run:
            # A name that is a number, beside which the same name in quotes would be another run to DVC.
            refuse_name(name, "runs:")
    if not isinstance(runs, Mapping) or run not in runs:
        raise no_run(run, runs if isinstance(runs, Mapping) else ())
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
    refuse_name(name, "datasets:")
    if not isinstance(datasets[name], Mapping):
        raise Refusal(f"params.yaml: datasets.{name} must be a section of keys")
    values["dataset"] = {"name": name, **datasets[name]}
    values["run"] = run
    return validate_run(_relevant(values) | {"revision": dict(revision or {})}, "params.yaml")


def _relevant(values: dict[str, Any]) -> dict[str, Any]:
    # A key without effect under the chosen method resolves to null, so that editing it reruns nothing; it stays, since
    # DVC fails where a key that it tracks is gone.
    cluster, train = values.get("cluster"), values.get("train")
    if isinstance(cluster, Mapping):
        method, pic = cluster.get("method"), cluster.get("pic")
        absent: dict[str, Any] = {}
        if method in ("pic", "labels"):
            absent |= {"k": None, "iterations": None}
        if method in ("kmeans", "labels"):
            absent["pic"] = dict(pic if isinstance(pic, Mapping) else {}) | dict.fromkeys(PICParams.model_fields)
        values = values | {"cluster": dict(cluster) | absent}
    if isinstance(train, Mapping) and train.get("schedule") == "constant":
        values = values | {"train": dict(train) | {"horizon": None}}
    return values


def validate_run(values: Mapping[str, Any], source: str) -> RunParams:
    """`values` as RunParams; the first thing wrong becomes one line that names the key."""
    try:
        params = run_params_class().model_validate(values)
    except ValidationError as error:
        raise Refusal(_first_problem(error, values, source)) from None
    check_sizes(params)
    return params


def _first_problem(error: ValidationError, values: Mapping[str, Any], source: str) -> str:
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if where[0] == "dataset" and isinstance(values.get("dataset"), Mapping):
        where[:1] = ["datasets", str(values["dataset"].get("name"))]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = [re.sub(r"^dataset\.", ".".join([*where[:2], ""]), name) for name in known_keys()]
        close = difflib.get_close_matches(key, known if where[0] == "datasets" else known_keys(), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else f"; see the comments in {source}"
        return f"{source}: {key}: no such key{hint}"
    given = first.get("input")
    if first["type"] == "missing":
        return f"{source}: {key} is missing; see the comments in the committed params.yaml"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{source}: {key}: {message}, not {given!r}; correct it with --set {key}=…"


def known_keys() -> list[str]:
    """Every dotted key that a run can be given."""
    return [key for key in leaves(run_params_class()) if key not in ("run", "revision")]


def resolve_dataset(entry: Any, name: str) -> DatasetParams:
    """One entry of `datasets`, whatever the runs want of it."""
    refuse_name(name, "datasets:")
    if not isinstance(entry, Mapping):
        raise Refusal(f"params.yaml: datasets.{name} must be a section of keys")
    values = {"dataset": {"name": name, **entry}}
    try:
        dataset = DatasetKeys.model_validate(values).dataset
    except ValidationError as error:
        raise Refusal(_first_problem(error, values, "params.yaml")) from None
    check_chunk(dataset)
    return dataset
