"""The root's params.yaml as people write it: read, changed key by key with comments kept, written."""

from __future__ import annotations

import copy
import io
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from stages.artifacts.documents import needs_quotes
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


_INDENTED_LIST = re.compile(r"^( *)[^\s#].*:.*\n\1 +- ", re.MULTILINE)


def _yaml(text: str = "") -> YAML:
    """A parser that keeps comments; it writes lists below their keys or further in, as `text` does."""
    found = YAML()
    if _INDENTED_LIST.search(text):
        found.indent(mapping=2, sequence=4, offset=2)
    found.preserve_quotes = True
    # A line that people wrote, however long, stays one.
    found.width = sys.maxsize
    found.Representer = _Representer
    return found


def _float(representer: Any, value: float) -> Any:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


# 1e-05 without a point is text to YAML 1.1 readers: floats are written so that all agree.
_Representer.add_representer(float, _float)
# Otherwise nothing is written, which within braces looks like a mistake.
_Representer.add_representer(type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null"))


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
            # DVC's parser, which takes a:b within braces for a key.
            self._read = _plain(YAML(typ="safe").load(self.text))
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{self.path} cannot be read: {error}; restore it with git") from None
        except YAMLError as error:
            raise Refusal(
                f"{self.path} is no valid YAML: {' '.join(str(error).split())}; mend it (a text with a colon within "
                "braces takes quotes), or restore it with git"
            ) from None
        if not isinstance(self.content, Mapping):
            raise Refusal(f"{self.path} holds no section of keys: restore it with git")

    def runs(self) -> list[str]:
        runs = self.content.get("runs")
        return [str(name) for name in runs] if isinstance(runs, Mapping) else []

    def dataset_of(self, run: str) -> str | None:
        """The name of a run's data set, its own or the one of all; None for a run without pictures."""
        own = _found(self.content, f"runs.{run}.dataset")
        found = self.content.get("dataset") if own is _NONE else own
        return None if found is None else str(found)

    def datasets(self) -> Mapping[str, Any]:
        found = self.content.get("datasets")
        return found if isinstance(found, Mapping) else {}

    def runs_on(self, dataset: str) -> list[str]:
        """The runs that train on a data set."""
        return [run for run in self.runs() if self.dataset_of(run) == dataset]

    def evaluations_on(self, dataset: str) -> list[str]:
        """The evaluations that learn from a data set, or test on it."""
        entries = self.content.get("evaluations") or {}
        found = {name: each for name, each in entries.items() if isinstance(each, Mapping)}
        return [str(name) for name, each in found.items() if dataset in (each.get("train"), each.get("test"))]

    def put(self, key: str, value: Any) -> None:
        """Sets a dotted key, making the sections on the way."""
        self._edits.append((key, value))
        self._put(key, value)

    def evaluations_of(self, run: str) -> list[str]:
        """The names of the evaluations that a run names."""
        found = _found(self.content, f"runs.{run}.evaluations")
        return [str(name) for name in found] if isinstance(found, list) else []

    def add_evaluations(self, run: str, names: list[str]) -> None:
        """Adds those that a run does not name yet to its evaluations."""
        before = self.evaluations_of(run)
        if new := [name for name in names if name not in before]:
            self.put(f"runs.{run}.evaluations", [*before, *new])

    def drop(self, section: str, name: str) -> None:
        """Drops an entry of `runs` or `datasets`."""
        self._edits.append((f"{section}.{name}", _NONE))
        self.content[section].pop(name, None)

    def _put(self, key: str, value: Any) -> None:
        *sections, last = key.split(".")
        new = _written(value)
        place = self.content
        for section in sections:
            inner, own = place.get(section), dict(place.non_merged_items())
            if not isinstance(inner, Mapping):
                place[_written(section)] = _written({})
            elif section not in own or getattr(getattr(inner, "anchor", None), "value", None) is not None:
                # Other sections are this very object, or hold it, by a YAML alias: they must keep their values.
                place[section] = copy.deepcopy(inner)
                place[section].yaml_set_anchor(None)
            place = place[section]
        if isinstance(new, Mapping) and not place:
            # Empty, it was on one line.
            place.fa.set_block_style()
        place[_written(last)] = new

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
        """The parameters of a run; what is missing in params.yaml and has defaults is put there.

        DVC follows a section, or a key beside them, only where there is one.
        """
        for name in root_sections():
            default = default_of(run_params_class(), name)
            if name not in self.content and default is not PydanticUndefined:
                self.put(name, default.model_dump(mode="json") if isinstance(default, Section) else default)
        params = resolve_run(self.content, run, revisions())
        self._resolved[run] = params
        return params

    @property
    def changed(self) -> bool:
        """Whether the file holds other values than are meant now."""
        return bool(_plain(self.content) != self._read)

    def save(self) -> bool:
        """Writes the file if anything was changed here; whether it did.

        What others have written since it was read is kept.

        Raises:
            Refusal: they changed what is changed here, or a run that was resolved here, which was checked before.
        """
        if not self.changed:
            return False
        with only_writer(self.root / "data", "params.yaml", _PATIENCE):
            if self.path.read_text(encoding="utf-8") != self.text:
                self._merge()
            self.text = self._dumped()
            write_bytes(self.path, self.text.encode())
        return True

    def _dumped(self) -> str:
        """The text to write, whose values every reader in use takes for those that are meant."""
        buffer = io.StringIO()
        _yaml(self.text).dump(self.content, buffer)
        text, meant = buffer.getvalue(), _plain(self.content)
        try:
            text.encode()
            same = _plain(_yaml().load(text)) == meant and _plain(YAML(typ="safe").load(text)) == meant
            # What people wrote for readers of YAML 1.2 alone is theirs; what is put there must be read by all.
            old = _plain(yaml.safe_load(text))
            same = same and all(_found(old, key) in (_found(meant, key), _NONE) for key, _ in self._edits)
        except (YAMLError, yaml.YAMLError, ValueError):
            same = False
        if not same:
            keys = ", ".join(dict.fromkeys(key for key, _ in self._edits))
            raise Refusal(
                f"params.yaml: {keys}: not every reader of YAML would take it for what is meant; nothing was written: "
                "use letters that can be printed"
            )
        return text

    def _merge(self) -> None:
        now, before = Settings(self.root), Settings(self.root, self.text)
        for key, value in self._edits:
            found = _found(now.content, key)
            if found not in (_found(before.content, key), value):
                raise Refusal(f"params.yaml: {key} was changed meanwhile; nothing was written: give the command again")
        for key, value in self._edits:
            if value is _NONE:
                now.drop(*key.split(".", 1))
            else:
                now.put(key, value)
        for run, params in self._resolved.items():
            if now.resolve(run) != params:
                raise Refusal(
                    f"params.yaml gives run {run} other values than a moment ago; nothing was written: give the same "
                    "command again"
                )
        self.content = now.content


def _found(content: Any, key: str) -> Any:
    try:
        return lookup(content, key)
    except (KeyError, TypeError):
        return _NONE


def _written(value: Any) -> Any:
    """A value as the file writes it: a text in quotes where any reader needs them, a flat section on one line."""
    if isinstance(value, str):
        return DoubleQuotedScalarString(value) if needs_quotes(value) else value
    if isinstance(value, list):
        listed = CommentedSeq(map(_written, value))
        listed.fa.set_flow_style()
        return listed
    if not isinstance(value, Mapping):
        return value
    found = CommentedMap({_written(key): _written(inner) for key, inner in value.items()})
    if not any(isinstance(inner, Mapping) for inner in value.values()):
        found.fa.set_flow_style()
    return found


def _plain(value: Any) -> Any:
    """Values without what ruamel keeps of their form."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    # Which is not equal to itself.
    return "nan" if isinstance(value, float) and math.isnan(value) else value
