"""A run's parameters as plain values, and which of them differ between two runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stages.parameters.keys import default_of, lookup
from stages.parameters.run import RunParams, run_params_class

NOT_SET = ("run", "branch", "dataset", "epochs", "revision", "threads", "workers", "device_memory")
"""Keys that are given otherwise than by --set, or that no result depends on."""


def changes(before: RunParams, after: RunParams) -> list[tuple[str, Any]]:
    """Keys that a user can set and whose values differ, such as train.lr, with the new values."""
    return list(_changes("", as_values(before), as_values(after)))


def _changes(prefix: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in after.items():
        if not prefix and key in NOT_SET:
            continue
        if isinstance(value, dict):
            yield from _changes(f"{prefix}{key}.", before.get(key) or {}, value)
        # Null that is no default stands for a key without effect, which a user cannot give.
        elif before.get(key) != value and (
            value is not None or default_of(run_params_class(), f"{prefix}{key}") is None
        ):
            yield f"{prefix}{key}", value


def as_option(key: str, value: Any) -> str:
    """The `--set` that gives a key its value, as a shell and YAML read it."""
    return f" --set {shlex.quote(f'{key}={as_text(value)}')}"


def as_text(value: Any) -> str:
    """A value as it is written in params.yaml."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def as_values(params: RunParams) -> dict[str, Any]:
    """`params` as plain values for YAML, every key with its value or null, without those that no stage depends on."""
    return params.model_dump(mode="json", exclude={"retain", "evaluations"})


def unrecorded(keys: Iterable[str], recorded: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Keys that a stage depends on today, that its record lacks, and whose value is not the default.

    A record made before a key was known stays true as long as the key has its default, which is what the code did
    then.

    Args:
        values: the run's parameters that now hold, as `as_values` gives them.
    """
    known = set(recorded)
    return [key for key in keys if key not in known and _value(values, key) != default_of(run_params_class(), key)]


def _value(values: Mapping[str, Any], key: str) -> Any:
    try:
        return lookup(values, key)
    except (KeyError, TypeError):
        return None
