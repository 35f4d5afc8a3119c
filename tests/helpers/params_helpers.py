"""What the tests of stages/parameters/ share: the committed params.yaml with one key changed."""

import copy
import io

import yaml
from projects import committed_params
from ruamel.yaml import YAML

from stages.parameters.resolution import resolve

BASE = yaml.load(committed_params(), yaml.CSafeLoader)


def with_key(key, value, run="demo"):
    content = copy.deepcopy(BASE)
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return content


def resolved(key, value):
    return resolve(with_key(key, value), "demo")


READERS = {
    "PyYAML (1.1)": lambda text: yaml.safe_load(text),
    "ruamel (1.2)": lambda text: YAML(typ="safe").load(io.StringIO(text)),
}
