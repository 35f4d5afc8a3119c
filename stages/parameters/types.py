"""How a value of params.yaml is typed: strictly, so that a text is no number and a number no switch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _whole(value: Any) -> Any:
    # YAML reads 1e4 as a float.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _device(value: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise PydanticCustomError("device", "input should be cpu, cuda or cuda:N")
    return value


Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Int = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]

Side = Annotated[Int, Field(ge=1, le=2048)]
"""Pixels; the most is more than any network here is good for, and less than fills a machine."""

Seed = Annotated[Int, Field(ge=0)]
Device = Annotated[Text, AfterValidator(_device)]
Precision = Literal["float32", "bf16", "tf32"]
Recipe = Literal["deepcluster", "deepcluster-v2"]


class Section(BaseModel):
    """Some keys of params.yaml: none may be missing but those with a default, and none unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoKeys(Section):
    """Of a stage without parameters."""
