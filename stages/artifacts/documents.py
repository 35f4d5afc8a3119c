"""YAML and JSON files: written whole, and refused in one line where they cannot be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.artifacts.remedies import maker
from stages.artifacts.writing import write_bytes
from stages.errors import Refusal


def load_yaml(path: Path, remedy: str = "mend it, or restore it with git") -> dict[str, Any]:
    """A YAML mapping that people write, read as DVC reads it: YAML 1.2, in which 1e-5 is a number and no is a text.

    Args:
        remedy: what to do where the file cannot be read.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{path} is no valid YAML ({reason}): {remedy}") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds no section of keys: {remedy}")
    return content


class _Generated(yaml.CSafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2, and without what it does for YAML's rarer forms.

    It takes a fifth of ruamel's time: a run of 500 epochs has a thousand such files.
    """

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def construct_document(self, node: yaml.Node) -> Any:
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        if isinstance(node, yaml.MappingNode):
            return {self.construct_document(key): self.construct_document(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self.construct_document(value) for value in node.value]
        return self.construct_object(node)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", list("-+.0123456789")),
):
    _Generated.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def parse_generated(text: bytes | str) -> Any:
    """The content of a dvc.yaml or dvc.lock as this program and DVC write them.

    Raises:
        Exception: of whatever kind a damaged file provokes.
    """
    return yaml.load(text, _Generated)


_PLAIN = re.compile(r"(?!\.\.\.)[\w./]([\w./ +=@~-]*[\w./])?")


def needs_quotes(text: str) -> bool:
    """Whether a text, written bare, would be another value to any reader in use, or break it.

    Those are ruamel's two parsers, of which the C one takes `a:b` within braces for a key, and readers of YAML 1.1, to
    whom `no` is false and 1:30 a number.
    """
    if not _PLAIN.fullmatch(text):
        return True
    return not (_is_text(yaml.SafeLoader, text) and _is_text(_Generated, text))


def _is_text(reader: Any, text: str) -> bool:
    return not any(pattern.match(text) for _, pattern in reader.yaml_implicit_resolvers.get(text[:1], []))


class _Writer(yaml.SafeDumper):
    """PyYAML's, with quotes around what is text to YAML 1.1 alone, such as 1e5."""

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, None if _is_text(_Generated, text) else '"')


_Writer.add_representer(str, _Writer.represent_text)


def render_yaml(content: Any, width: int = 80) -> str:
    """The text of a generated YAML file."""
    return yaml.dump(content, Dumper=_Writer, sort_keys=False, width=width)


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Refusal: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except ValueError:
        raise Refusal(f"{path} is no valid JSON; {maker(path)}") from None
    assert isinstance(content, dict)
    return content


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file; a number that is not finite is a bug, and refused."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
