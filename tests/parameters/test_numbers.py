"""stages/parameters/types.py and the sections: numbers as people write them, and values out of range."""

import pytest
import yaml
from params_helpers import READERS, read_yaml, resolved
from stage_helpers import refused

from stages.artifacts.run_params import render
from stages.parameters.resolution import validate_run


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-5", 1e-5),
        ("5e-2", 0.05),
        ("1e5", 100000.0),
        ("0.000001", 1e-6),
        ("1E-3", 0.001),
        ("1", 1.0),
        ("1e-05", 1e-5),
    ],
)
def test_every_spelling_of_a_number_is_the_same_float(text, number):
    params = resolved("train.lr", read_yaml(f"lr: {text}")["lr"])
    assert params.train.lr == number
    assert isinstance(params.train.lr, float)


@pytest.mark.parametrize("number", [1e-5, 0.05, 1e5, 1e-6, 1.0, 123456.789, 1e-30])
def test_a_float_is_the_same_float_after_one_write_and_reading_by_either_library(number):
    """Whoever reads the run's params.yaml with another library finds a number there too."""
    content = render(resolved("train.weight_decay", number)).decode()
    for read in READERS.values():
        assert read(content)["train"]["weight_decay"] == number
    assert validate_run(yaml.safe_load(content), "params.yaml").train.weight_decay == number


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "true", "'abc'", "abc", "", "[1]", "nan", "inf", "'1e-5'"])
def test_what_is_no_number_is_refused_with_its_key(text):
    value = read_yaml(f"lr: {text}")["lr"]
    line = refused(lambda: resolved("train.lr", value))
    assert "train.lr" in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", 0),
        ("train.lr", -0.1),
        ("train.momentum", 1.0),
        ("train.dropout", 1.0),
        ("train.batch", 1),
        ("train.passes", 0),
        ("train.weight_decay", -1e-5),
        ("train.sampling", "random"),
        ("model.width", 0),
        ("model.sobel", "yes"),
        ("model.architecture", "lenet"),
        ("cluster.k", 0),
        ("cluster.k", -1),
        ("cluster.k", 2.5),
        ("cluster.k", True),
        ("cluster.every", 0),
        ("extract.dtype", "int8"),
        ("extract.batch", 0),
        ("whiten.dim", 0),
        ("epochs", -1),
        ("epochs", 1.5),
        ("seed", -1),
        ("threads", 0),
        ("workers", -1),
        ("device", "gpu"),
        ("device", "cuda:x"),
        ("precision", "fp16"),
        ("datasets.demo.size", 4),
        ("datasets.demo.labels", 1),
        ("datasets.demo.generate.images", 3),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_key_and_value(key, value):
    line = refused(lambda: resolved(key, value))
    assert key in line
    assert repr(value) in line
    assert f"--set {key}=" in line


def test_a_device_is_refused_in_words():
    line = refused(lambda: resolved("device", "gpu"))
    assert line == "params.yaml: device: input should be cpu, cuda or cuda:N, not 'gpu'; correct it with --set device=…"


@pytest.mark.parametrize(
    ("key", "value", "expected"), [("train.batch", 64.0, 64), ("cluster.k", 1e2, 100), ("epochs", 3.0, 3)]
)
def test_a_whole_number_may_be_written_in_other_ways(key, value, expected):
    params = resolved(key, value)
    section, _, name = key.rpartition(".")
    found = getattr(getattr(params, section) if section else params, name)
    assert found == expected
    assert type(found) is int
