"""The root's params.yaml as people write it: read, changed key by key with comments kept, written."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from stages.artifacts.writing import write_bytes
from stages.dag.names import PARAMS
from stages.dag.revisions import revisions
from stages.errors import Refusal
from stages.parameters.keys import default_of, lookup
from stages.parameters.resolution import resolve_run
from stages.parameters.run import RunParams, root_sections, run_params_class
from stages.parameters.types import Section
from stages.runtime.locks import only_writer


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


_NONE: Any = object()
"""In place of a value, where there is none."""

_PATIENCE = 10.0
"""Seconds to wait for another process to have written params.yaml, which takes a moment."""


class Settings:
    """params.yaml of a project, changed in memory until `save`.

    Args:
        text: in place of what the file holds.
    """

    def __init__(self, root: Path, text: str | None = None) -> None:
        self.root, self.path = root, root / PARAMS
        self._edits: list[tuple[str, Any]] = []
        self._resolved: dict[str, RunParams] = {}
        try:
            self.text = self.path.read_text(encoding="utf-8") if text is None else text
            self.content: Any = _yaml().load(self.text)
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{self.path} cannot be read: {error}; restore it with git") from None
        except YAMLError as error:
            raise Refusal(f"{self.path} is no valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(self.content, Mapping):
            raise Refusal(f"{self.path} holds no section of keys: restore it with git")

    def runs(self) -> list[str]:
        runs = self.content.get("runs")
        return [str(name) for name in runs] if isinstance(runs, Mapping) else []

    def dataset_of(self, run: str) -> str:
        """The name of a run's data set, its own or the one of all."""
        own = self._found(f"runs.{run}.dataset")
        return str(self.content.get("dataset") if own is _NONE else own)

    def _found(self, key: str) -> Any:
        try:
            return lookup(self.content, key)
        except (KeyError, TypeError):
            return _NONE

    def datasets(self) -> Mapping[str, Any]:
        found = self.content.get("datasets")
        return found if isinstance(found, Mapping) else {}

    def put(self, key: str, value: Any) -> None:
        """Sets a dotted key, making the sections on the way."""
        self._edits.append((key, value))
        self._put(key, value)

    def drop_run(self, run: str) -> None:
        self._edits.append((f"runs.{run}", _NONE))
        self.content["runs"].pop(run, None)

    def _put(self, key: str, value: Any) -> None:
        *sections, last = key.split(".")
        new = _section(value) if isinstance(value, Mapping) else value
        place = self.content
        for section in sections:
            inner = place.get(section)
            if not isinstance(inner, Mapping):
                place[section] = _section({})
            elif getattr(getattr(inner, "anchor", None), "value", None) is not None:
                # Other sections are this very object, by a YAML alias: they must keep their values.
                place[section] = copy.deepcopy(inner)
                place[section].yaml_set_anchor(None)
            place = place[section]
        if isinstance(new, Mapping) and not place:
            # Empty, it was on one line.
            place.fa.set_block_style()
        place[last] = new

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
        """The parameters of a run; a section of params.yaml that is missing and has defaults is put there.

        DVC follows a section only where there is one.
        """
        for section in root_sections():
            default = default_of(run_params_class(), section)
            if section not in self.content and isinstance(default, Section):
                self.put(section, default.model_dump(mode="json"))
        params = resolve_run(self.content, run, revisions())
        self._resolved[run] = params
        return params

    def save(self) -> bool:
        """Writes the file if anything was changed here; whether it did.

        What others have written since it was read is kept.

        Raises:
            Refusal: they changed what is changed here, or a run that was resolved here, which was checked before.
        """
        if self._dumped() == self.text:
            return False
        with only_writer(self.root / "data", "params.yaml", _PATIENCE):
            if self.path.read_text(encoding="utf-8") != self.text:
                self._merge()
            self.text = self._dumped()
            write_bytes(self.path, self.text.encode())
        return True

    def _dumped(self) -> str:
        buffer = io.StringIO()
        _yaml().dump(self.content, buffer)
        return buffer.getvalue()

    def _merge(self) -> None:
        now, before = Settings(self.root), Settings(self.root, self.text)
        for key, value in self._edits:
            found = now._found(key)
            if found not in (before._found(key), value):
                raise Refusal(f"params.yaml: {key} was changed meanwhile; nothing was written: give the command again")
        for key, value in self._edits:
            if value is _NONE:
                now.drop_run(key.removeprefix("runs."))
            else:
                now.put(key, value)
        for run, params in self._resolved.items():
            if now.resolve(run) != params:
                raise Refusal(
                    f"params.yaml gives run {run} other values than a moment ago; nothing was written: give the same "
                    "command again"
                )
        self.content = now.content


def _section(values: Mapping[str, Any]) -> CommentedMap:
    """A section as the file writes them: on one line where it holds no other."""
    found = CommentedMap({key: _section(v) if isinstance(v, Mapping) else v for key, v in values.items()})
    if not any(isinstance(value, Mapping) for value in values.values()):
        found.fa.set_flow_style()
    return found
