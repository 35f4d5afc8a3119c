"""A run's parameters as plain values, and which of them differ between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stages.parameters.keys import same
from stages.parameters.run import RunParams

NOT_SET = ("run", "branch", "dataset", "epochs", "revision", "threads", "workers")
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
        elif value is not None and not same(before.get(key), value):
            yield f"{prefix}{key}", value


def as_values(params: RunParams) -> dict[str, Any]:
    """`params` as plain values for YAML; `retain` is none of a stage's."""
    return json.loads(params.model_dump_json(exclude={"retain"}))
