"""What the tests of stages/parameters/ share: the tests' params.yaml with one key changed."""

import copy
import io

import yaml
from projects import params_text
from ruamel.yaml import YAML

from stages.parameters.resolution import resolve_run

BASE = yaml.load(params_text(), yaml.CSafeLoader)


def with_key(key, value, run="demo"):
    content = copy.deepcopy(BASE)
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return content


def resolved(key, value):
    return resolve_run(with_key(key, value), "demo")


def read_yaml(text):
    """Reads YAML as the program and DVC do."""
    return YAML(typ="safe").load(io.StringIO(text))


READERS = {
    "PyYAML (1.1)": lambda text: yaml.safe_load(text),
    "ruamel (1.2)": read_yaml,
}
