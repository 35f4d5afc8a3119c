"""The parameters of each protocol of section 4: NAME.py holds NameParams, for the stage of the same name.

A new protocol brings its parameters by a new module here; no list has to be extended.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field

from stages.parameters.types import Section, Text

DATA_SET, EVALUATION_SET = "data set", "evaluation set"

Pictures = Annotated[str, Field(strict=True), DATA_SET]
"""Name of one of `datasets`: pictures that are packed, with labels."""

SetName = Annotated[str, Field(strict=True), EVALUATION_SET]
"""Name of one of `evaluation_sets`: pictures at their own size, with what is known of them."""


class ProtocolParams(Section):
    """One entry of `evaluations`: a protocol, what it is trained and tested on, and its settings."""

    name: Text
    """Its key below `evaluations`, and the folder below a run's evaluations/."""
    protocol: Text
    """Which stage computes it."""


class Split(Section):
    """A part of an evaluation set."""

    set: SetName
    """One of `evaluation_sets`."""
    split: Text
    """Name of one of its lists of pictures, such as trainval."""


@cache
def protocols() -> Mapping[str, type[ProtocolParams]]:
    """The class of parameters of each protocol by its name, in alphabetical order."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        found[name] = getattr(module, class_name(name))
    return found


def class_name(protocol: str) -> str:
    """Name of the class of a protocol's parameters, such as LinearProbeParams of linear_probe."""
    return protocol.title().replace("_", "") + "Params"


def names_of(params: BaseModel, kind: str) -> Iterator[str]:
    """The names of the data sets, or of the evaluation sets, that an entry reads.

    Args:
        kind: `DATA_SET` or `EVALUATION_SET`.
    """
    for name, info in type(params).model_fields.items():
        value: Any = getattr(params, name)
        if isinstance(value, BaseModel):
            yield from names_of(value, kind)
        elif kind in info.metadata and value is not None:
            yield value
