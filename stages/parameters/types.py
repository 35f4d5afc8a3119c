"""How a value of params.yaml is typed: strictly, and with 1e-5 as a number in whatever form a reader gives it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-5 as text and YAML 1.2 as a number: both must mean the same here.
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if set(value) <= set("0123456789.eE+-_") else value
    return value


def _whole(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


Float = Annotated[float, BeforeValidator(_number), Field(strict=True, allow_inf_nan=False)]


Int = Annotated[int, BeforeValidator(_whole), Field(strict=True)]


Bool = Annotated[bool, Field(strict=True)]


Text = Annotated[str, Field(strict=True)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
