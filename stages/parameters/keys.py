"""Dotted keys of nested sections, such as train.lr: those that a class has, and what stands under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

K = TypeVar("K", bound=BaseModel)


def leaves(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a class that are no sections themselves, in order."""
    for name, info in section.model_fields.items():
        inner = _section_of(info.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from leaves(inner, f"{prefix}{name}.")


def _section_of(annotation: Any) -> type[BaseModel] | None:
    # An optional section is one too; several in a tuple are none.
    optional = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    for candidate in (annotation, *optional):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def default_of(section: type[BaseModel], key: str) -> Any:
    """The default of a dotted key as plain values have it; PydanticUndefined where there is none."""
    *names, last = key.split(".")
    for name in names:
        inner = _section_of(section.model_fields[name].annotation) if name in section.model_fields else None
        if inner is None:
            return PydanticUndefined
        section = inner
    info = section.model_fields.get(last)
    return PydanticUndefined if info is None else info.get_default(call_default_factory=True)


def pick(params: BaseModel, keys: type[K]) -> K:
    """The keys that a stage declares and no others, so that DVC and the stage cannot disagree on what matters."""
    values = params.model_dump()
    picked: dict[str, Any] = {}
    for key in leaves(keys):
        *sections, last = key.split(".")
        place = picked
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = lookup(values, key)
    return keys.model_validate(picked)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping from dotted keys."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def has(values: Mapping[str, Any], key: str) -> bool:
    """Whether anything, be it null, stands under a dotted key."""
    try:
        lookup(values, key)
    except (KeyError, TypeError):
        return False
    return True


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key of nested sections.

    Raises:
        KeyError, TypeError: there is none.
    """
    value: Any = values
    for part in key.split("."):
        value = value[part]
    return value
