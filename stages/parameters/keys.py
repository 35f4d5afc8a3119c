"""Dotted keys of nested sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
