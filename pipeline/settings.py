"""The root's params.yaml as people write it: read, changed key by key with comments kept, written."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from stages.errors import Refusal
from stages.job import revisions
from stages.locks import only_writer
from stages.params import RunParams
from stages.publish import write_bytes
from stages.resolution import resolve


class _Representer(RoundTripRepresenter):
    """One of our own: representers are registered with the class, and DVC writes its locks with ruamel's."""


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.Representer = _Representer
    return yaml


def _float(representer: Any, value: float) -> Any:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


# 1e-05 without a point is text to YAML 1.1 readers: floats are written so that all agree.
_Representer.add_representer(float, _float)


class Settings:
    """params.yaml of a project, changed in memory until `save`."""

    def __init__(self, root: Path) -> None:
        self.path = root / "params.yaml"
        try:
            self.text = self.path.read_text(encoding="utf-8")
            self.content: Any = _yaml().load(self.text)
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{self.path} cannot be read: {error}; restore it with git") from None
        except YAMLError as error:
            raise Refusal(f"{self.path} is no valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(self.content, Mapping):
            raise Refusal(f"{self.path} holds no section of keys; restore it with git")

    def runs(self) -> list[str]:
        runs = self.content.get("runs")
        return [str(name) for name in runs] if isinstance(runs, Mapping) else []

    def datasets(self) -> Mapping[str, Any]:
        found = self.content.get("datasets")
        return found if isinstance(found, Mapping) else {}

    def put(self, key: str, value: Any) -> None:
        """Sets a dotted key, making the sections on the way."""
        *sections, last = key.split(".")
        place = self.content
        for section in sections:
            inner = place.get(section)
            if not isinstance(inner, Mapping):
                place[section] = {}
            elif getattr(getattr(inner, "anchor", None), "value", None) is not None:
                # Other sections are this very object, by a YAML alias: they must keep their values.
                place[section] = copy.deepcopy(inner)
                place[section].yaml_set_anchor(None)
            place = place[section]
        place[last] = value

    def set_text(self, run: str, assignment: str) -> None:
        """Applies a `--set key=value`: to the run, or to the data set where the key says so."""
        key, separator, text = assignment.partition("=")
        key = key.strip()
        if not separator or not key:
            raise Refusal(f"--set {assignment}: write it as --set key=value, such as --set train.lr=0.1")
        try:
            value = YAML(typ="safe").load(text) if text.strip() else None
        except (YAMLError, ValueError):
            value = text
        self.put(key if key.startswith("datasets.") else f"runs.{run}.{key}", value)

    def resolve(self, run: str) -> RunParams:
        return resolve(self.content, run, revisions())

    def save(self) -> bool:
        """Writes the file if anything changed; whether it did."""
        buffer = io.StringIO()
        _yaml().dump(self.content, buffer)
        if buffer.getvalue() == self.text:
            return False
        with only_writer(self.path.parent / "data", "params.yaml"):
            if self.path.read_text(encoding="utf-8") != self.text:
                raise Refusal("params.yaml changed meanwhile; nothing was written: give the same command again")
            write_bytes(self.path, buffer.getvalue().encode())
        self.text = buffer.getvalue()
        return True
