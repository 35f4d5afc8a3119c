"""result.json: what one evaluation measured, and all that a reader of a table asks of it; numbers.json: for DVC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.artifacts.documents import write_json
from stages.artifacts.weights import Trained
from stages.parameters.protocols import ProtocolParams


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        numbers: percentages from 0 to 100 by name, or sections of such.
        measured_on: data, splits, numbers of pictures.
        follows: where the paper and its released code differ, or leave something open: what was followed, in words.
    """

    numbers: Mapping[str, Any]
    measured_on: Mapping[str, Any]
    follows: Mapping[str, str]


def write_result(
    result: Path, numbers: Path, *, run: str, entry: ProtocolParams, trained: Trained, found: Result
) -> None:
    """Writes both files.

    Args:
        result, numbers: where to.
        entry: the entry of `evaluations`.
        trained: the network that was evaluated.
    """
    measured = _rounded(found.numbers)
    # No evaluation sees a projection.
    network = trained.model.model_dump(exclude={"projection"})
    content = {
        "run": run,
        "evaluation": entry.name,
        "settings": entry.model_dump(mode="json", exclude={"name"}),
        "network": network | asdict(trained.training) | {"sha256": trained.sha256},
        "measured_on": dict(found.measured_on),
        "follows": dict(found.follows),
        "numbers": measured,
    }
    write_json(result, content)
    # `dvc metrics` shows every value of a file, settings too.
    write_json(numbers, measured)


def _rounded(value: Any) -> Any:
    """Sections of numbers, each to four decimals: further ones are of the arithmetic, not of the network."""
    if isinstance(value, Mapping):
        return {str(key): _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value
