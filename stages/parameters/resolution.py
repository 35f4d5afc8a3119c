"""From the root's params.yaml to the parameters of one run; the first thing wrong becomes one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stages.errors import Refusal
from stages.parameters.checks import check_chunk, check_sizes
from stages.parameters.cluster import PICParams
from stages.parameters.dataset import DatasetParams
from stages.parameters.evaluation import Evaluation
from stages.parameters.keys import leaves
from stages.parameters.named import no_run, refuse_name
from stages.parameters.protocols import DATA_SET, EVALUATION_SET, names_of, protocols
from stages.parameters.run import RunParams, run_params_class
from stages.parameters.sets import EvaluationSet, check_set
from stages.parameters.views import AugmentParams

S = TypeVar("S", bound=BaseModel)

NOT_OVERRIDDEN = ("datasets", "evaluation_sets", "evaluations", "runs")
"""Keys of the root's params.yaml that are no parameters of a run."""

SETTLED: dict[str, dict[str, Any]] = {
    "deepcluster": {
        "model": {"projection": {"hidden": None, "dim": None}},
        "extract": {"views": 1, "augment": AugmentParams().model_dump()},
        "cluster": {"heads": 1},
        "train": {"temperature": None},
    },
    "deepcluster-v2": {
        "cluster": {"spherical": True},
        "train": {"top_lr": None, "top_momentum": 0.0, "top_kept": False},
        "final": {"whiten": {"dim": None, "scale": None}},
    },
}
"""By recipe, what keys resolve to that it does not use or leaves no choice in."""

FILLED_IN = "extract.augment."
"""What the keys begin with that are those of `train.augment` where they are used."""


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
    if values.get("dataset", "") is not None:
        values["dataset"] = _entry(root, "datasets", values.get("dataset"), "dataset")
    values["evaluations"] = evaluations_of(root, run)
    values["run"] = run
    given = _parsed(values | {"revision": dict(revision or {})}, "params.yaml")
    return validate_run(_relevant(given), "params.yaml")


def evaluations_of(root: Mapping[str, Any], run: str) -> tuple[Evaluation, ...]:
    """The evaluations that `runs` names for a run, resolved.

    Raises:
        Refusal: one is unknown, or its entry is not valid.
    """
    key = f"runs.{run}.evaluations"
    names = (root["runs"][run] or {}).get("evaluations") or ()
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise Refusal(f"params.yaml: {key} must be a list of names of `evaluations`, not {names!r}")
    return tuple(resolve_evaluation(root, name, key) for name in dict.fromkeys(names))


def _relevant(given: RunParams) -> dict[str, Any]:
    # A key without effect under the chosen method resolves to null, so that editing it reruns nothing; it stays, since
    # DVC fails where a key that it tracks is gone.
    values = given.model_dump(exclude={"evaluations"}) | {"evaluations": given.evaluations}
    if given.dataset is None:
        values["dataset"] = None
    absent: dict[str, Any] = {}
    if given.cluster.method != "kmeans":
        absent = {"cluster": {"k": None, "iterations": None, "spherical": False}, "final": {"cluster": {"k": None}}}
    if given.cluster.method != "pic":
        absent = merge(absent, {"cluster": {"pic": dict.fromkeys(PICParams.model_fields)}})
    if given.train.schedule == "constant":
        absent["train"] = {"horizon": None}
    if given.recipe == "deepcluster-v2":
        absent["extract"] = {"augment": values["train"]["augment"]}
    return merge(merge(values, absent), SETTLED[given.recipe])


def validate_run(values: Mapping[str, Any], source: str) -> RunParams:
    """`values` as RunParams that fit together; the first thing wrong becomes one line that names the key."""
    params = _parsed(values, source)
    check_sizes(params)
    return params


def _parsed(values: Mapping[str, Any], source: str) -> RunParams:
    try:
        return run_params_class().model_validate(values)
    except ValidationError as error:
        raise Refusal(_first_problem(error, values, source)) from None


def _first_problem(error: ValidationError, values: Mapping[str, Any], source: str) -> str:
    where = [str(part) for part in error.errors(include_url=False)[0]["loc"]]
    if where[0] == "dataset" and isinstance(values.get("dataset"), Mapping):
        at = ["datasets", str(values["dataset"].get("name"))]
        known = [".".join([*at, name.removeprefix("dataset.")]) for name in known_keys() if name.startswith("dataset.")]
        return _problem(error, at, source, known, skipped=1)
    return _problem(error, [], source, known_keys())


def _problem(error: ValidationError, at: list[str], source: str, known: list[str], skipped: int = 0) -> str:
    """The first problem, of values that stand below the key `at`, in one line.

    Args:
        known: all dotted keys that there are.
        skipped: parts of the error's place that `at` stands for.
    """
    first = error.errors(include_url=False)[0]
    key = ".".join([*at, *map(str, first["loc"][skipped:])])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else f"; see the comments in {source}"
        return f"{source}: {key}: no such key{hint}"
    given = first.get("input")
    if first["type"] == "missing":
        return f"{source}: {key} is missing; see the comments in the committed params.yaml"
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{source}: {key} must be a section of keys; see the comments in the committed params.yaml"
    message = first["msg"][0].lower() + first["msg"][1:]
    # --set reaches a run and its data sets alone.
    how = f"in {source}" if at and at[0].startswith("evaluation") else f"with --set {key}=…"
    return f"{source}: {key}: {message}, not {given!r}; correct it {how}"


def known_keys() -> list[str]:
    """Every dotted key that a run can be given."""
    return [key for key in leaves(run_params_class()) if key not in ("run", "revision", "evaluations")]


def _entry(root: Mapping[str, Any], section: str, name: Any, key: str) -> dict[str, Any]:
    """An entry of `datasets`, `evaluation_sets` or `evaluations` as it is written, with its name.

    Args:
        key: the key of params.yaml that names it.
    """
    entries = root.get(section)
    if not isinstance(entries, Mapping) or name not in entries:
        known = ", ".join(map(str, entries)) if isinstance(entries, Mapping) else "none"
        raise Refusal(f"params.yaml: {key}: {name!r} is not one of `{section}` ({known})")
    refuse_name(name, f"{section}:")
    if not isinstance(entries[name], Mapping):
        raise Refusal(f"params.yaml: {section}.{name} must be a section of keys")
    return {"name": name, **entries[name]}


def resolve_dataset(root: Mapping[str, Any], name: str, key: str = "dataset") -> DatasetParams:
    """One entry of `datasets`, whatever the runs want of it.

    Args:
        root: content of the root's params.yaml.
        key: the key of params.yaml that names it.

    Raises:
        Refusal: there is none, or it is not valid.
    """
    dataset = _validated(DatasetParams, _entry(root, "datasets", name, key), f"datasets.{name}")
    check_chunk(dataset)
    return dataset


def resolve_set(root: Mapping[str, Any], name: str, key: str = "set") -> EvaluationSet:
    """One entry of `evaluation_sets`; as `resolve_dataset`."""
    found = _validated(EvaluationSet, _entry(root, "evaluation_sets", name, key), f"evaluation_sets.{name}")
    check_set(found)
    return found


def resolve_evaluation(root: Mapping[str, Any], name: str, key: str = "evaluations") -> Evaluation:
    """One entry of `evaluations` with the data that it reads; as `resolve_dataset`."""
    entry = _entry(root, "evaluations", name, key)
    where = f"evaluations.{name}"
    protocol = str(entry.get("protocol"))
    if protocol not in protocols():
        raise Refusal(f"params.yaml: {where}.protocol: {protocol!r} is not one of {', '.join(protocols())}")
    params = _validated(protocols()[protocol], entry, where)
    return Evaluation(
        params,
        tuple(resolve_dataset(root, name, where) for name in dict.fromkeys(names_of(params, DATA_SET))),
        tuple(resolve_set(root, name, where) for name in dict.fromkeys(names_of(params, EVALUATION_SET))),
    )


def _validated(section: type[S], values: Mapping[str, Any], where: str) -> S:
    """An entry of params.yaml at the dotted key `where`; the first thing wrong becomes one line."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise Refusal(_problem(error, where.split("."), "params.yaml", list(leaves(section, f"{where}.")))) from None
