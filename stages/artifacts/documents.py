"""YAML and JSON files: written whole, and refused in one line where they cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stages.errors import Refusal

if TYPE_CHECKING:
    pass

from stages.artifacts.writing import write_bytes


def load_yaml(path: Path, remedy: str = "mend it, or restore it with git") -> dict[str, Any]:
    """A YAML mapping; floats such as 1e-5 may come as text, which `stages.parameters.types` understands.

    Args:
        remedy: what to do where the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, yaml.CSafeLoader)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; restore it with git, or `python -m pipeline plan`") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{path} is no valid YAML ({reason}): {remedy}") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds no section of keys: {remedy}")
    return content


def load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; `python -m pipeline status` says which stage makes it") from None
    except ValueError:
        raise Refusal(f"{path} is no valid JSON; `python -m pipeline status` says which stage makes it") from None
    assert isinstance(content, dict)
    return content


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
