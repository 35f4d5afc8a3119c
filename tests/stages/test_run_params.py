"""stages/parameters/: what may stand in params.yaml, and the line about what may not."""

import copy
import io
from typing import get_args

import pytest
import yaml
from projects import committed_params
from ruamel.yaml import YAML
from stage_helpers import refused

from stages.artifacts.documents import load_yaml
from stages.artifacts.run_params import render
from stages.method.architectures import ARCHITECTURES
from stages.parameters.checks import check_counts
from stages.parameters.model import ModelParams
from stages.parameters.resolution import known_keys, resolve, validated

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


@pytest.mark.parametrize("reader", READERS)
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
def test_every_spelling_of_a_number_is_the_same_float_for_both_yaml_libraries(reader, text, number):
    params = resolved("train.lr", READERS[reader](f"lr: {text}")["lr"])
    assert params.train.lr == number
    assert isinstance(params.train.lr, float)


@pytest.mark.parametrize("number", [1e-5, 0.05, 1e5, 1e-6, 1.0, 123456.789, 1e-30])
def test_a_float_is_the_same_float_after_one_write_and_reading_by_either_library(number):
    """DVC reads the run's params.yaml with one library and we with another: text for one is stale for ever."""
    content = render(resolved("train.weight_decay", number)).decode()
    for read in READERS.values():
        assert read(content)["train"]["weight_decay"] == number
    assert validated(yaml.safe_load(content), "params.yaml").train.weight_decay == number


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "true", "'abc'", "abc", "", "[1]", "nan", "inf", "'0x10'"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_number_is_refused_with_its_key(reader, text):
    value = READERS[reader](f"lr: {text}")["lr"]
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


@pytest.mark.parametrize(
    ("key", "value", "expected"), [("train.batch", 64.0, 64), ("cluster.k", "1e2", 100), ("epochs", "3", 3)]
)
def test_a_whole_number_may_be_written_in_other_ways(key, value, expected):
    params = resolved(key, value)
    section, _, name = key.rpartition(".")
    found = getattr(getattr(params, section) if section else params, name)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.lrr", "train.lr"),
        ("train.learning_rte", None),
        ("train.weightdecay", "train.weight_decay"),
        ("cluster.K", "cluster.k"),
        ("cluster.pic.sigm", "cluster.pic.sigma"),
        ("model.archtecture", "model.architecture"),
        ("datasets.demo.labls", "datasets.demo.labels"),
        ("datasets.demo.chunk_mb", "datasets.demo.chunk_mib"),
        ("epoch", "epochs"),
        ("sed", "seed"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(key, meant):
    content = with_key(key, 1)
    if key.startswith("cluster.pic"):
        content["cluster"]["method"] = "pic"
    line = refused(lambda: resolve(content, "demo"))
    assert f"{key}: no such key" in line
    assert meant is None or f"did you mean {meant}?" in line


def test_no_suggestion_is_a_key_that_would_be_refused():
    for key in known_keys():
        place = BASE
        for part in key.replace("dataset.", "datasets.demo.").split("."):
            if key in ("branch", "dataset.name"):
                break
            assert part in place, key
            place = place[part]


def test_a_missing_key_is_refused_by_name():
    content = copy.deepcopy(BASE)
    del content["train"]["lr"]
    assert "train.lr is missing" in refused(lambda: resolve(content, "demo"))


def test_a_run_overrides_single_keys_and_leaves_the_rest():
    params = resolve(with_key("runs.demo.train.lr", 0.5), "demo")
    assert params.train.lr == 0.5
    assert params.train.momentum == BASE["train"]["momentum"]


def test_a_run_cannot_change_the_packing_of_its_data_set():
    """Other runs share the packed pictures: their size is the data set's, and `size` no key of a run."""
    refused(lambda: resolve(with_key("runs.demo.datasets", {"demo": {"size": 100}}), "demo"))


@pytest.mark.parametrize("run", ["demoo", "", "datasets"])
def test_an_unknown_run_is_refused_with_those_there_are(run):
    line = refused(lambda: resolve(BASE, run))
    assert "demo" in line
    assert "--images FOLDER" in line


def test_an_unknown_data_set_is_refused_with_those_there_are():
    line = refused(lambda: resolved("dataset", "dmo"))
    assert "'dmo'" in line
    assert "demo" in line


def test_keys_without_effect_resolve_to_null():
    """Editing a key of a method that is not chosen must rerun nothing."""
    params = resolve(BASE, "demo")
    assert params.cluster.pic is None
    assert params.train.horizon is None
    pic = resolved("cluster.method", "pic")
    assert (pic.cluster.k, pic.cluster.iterations) == (None, None)
    assert pic.cluster.pic.neighbours == 5
    labels = resolved("cluster.method", "labels")
    assert (labels.cluster.k, labels.cluster.pic) == (None, None)


def counts(images, k=50, dim=20):
    content = with_key("cluster.k", k)
    content["whiten"]["dim"] = dim
    check_counts(resolve(content, "demo"), images)


def test_more_clusters_than_pictures_are_refused_with_both_numbers():
    line = refused(lambda: counts(1300, 10_000))
    assert "10000" in line
    assert "1300" in line
    assert "--set cluster.k=65" in line


def test_as_many_clusters_as_pictures_are_accepted():
    counts(1300, 1300)


def test_more_dimensions_than_pictures_are_refused_with_both_numbers():
    line = refused(lambda: counts(100, dim=256))
    assert "256" in line
    assert "100" in line
    assert "--set whiten.dim=50" in line
    counts(256, dim=256)


@pytest.mark.parametrize("images", [0, 1])
def test_less_than_two_pictures_are_refused(images):
    assert f"{images} usable pictures" in refused(lambda: counts(images, k=1, dim=1))


def test_what_a_refusal_proposes_is_accepted():
    counts(1300, 65)
    counts(100, dim=50)


@pytest.mark.parametrize("side", [32, 62])
def test_alexnet_below_63_pixels_is_refused_with_the_least_size_and_the_networks_that_take_less(side):
    line = refused(lambda: resolved("model.input", side))
    assert "model.input" in line
    assert "--set model.input=63, or another model.architecture (vgg16, resnet18, resnet50)" in line


def test_an_input_too_small_for_every_network_is_refused_without_another():
    line = refused(lambda: resolved("model.input", 31))
    assert line.endswith("--set model.input=63")


def test_alexnet_at_63_pixels_and_the_others_at_32_are_accepted():
    assert resolved("model.input", 63).model.input == 63
    for name in ("vgg16", "resnet18", "resnet50"):
        content = with_key("model.input", 32)
        content["model"]["architecture"] = name
        content["whiten"]["dim"] = 16
        assert resolve(content, "demo").model.input == 32


def test_a_crop_larger_than_the_pictures_is_refused():
    size = BASE["datasets"]["demo"]["size"]
    line = refused(lambda: resolved("model.input", size + 1))
    assert "model.input" in line
    assert f"(size {size})" in line


def test_more_dimensions_than_the_network_has_features_are_refused():
    content = with_key("whiten.dim", 257)
    content["model"]["width"] = 0.0625
    line = refused(lambda: resolve(content, "demo"))
    assert "whiten.dim" in line
    assert "--set whiten.dim=256" in line


def test_as_many_dimensions_as_a_residual_network_has_features_are_accepted():
    content = with_key("whiten.dim", 616)
    content["model"] |= {"architecture": "resnet50", "width": 0.3}
    assert resolve(content, "demo").whiten.dim == 616
    content["whiten"]["dim"] = 617
    assert "--set whiten.dim=616" in refused(lambda: resolve(content, "demo"))


def test_each_architecture_may_stand_in_params_and_no_other():
    assert get_args(ModelParams.model_fields["architecture"].annotation) == tuple(ARCHITECTURES)


def test_a_cosine_schedule_must_reach_the_last_epoch():
    content = with_key("train.schedule", "cosine")
    content["epochs"] = 30
    content["train"]["horizon"] = 29
    assert "train.horizon" in refused(lambda: resolve(content, "demo"))
    content["train"]["horizon"] = 30
    assert resolve(content, "demo").train.horizon == 30


def test_every_committed_run_resolves():
    for run in BASE["runs"]:
        assert resolve(BASE, run).run == run


@pytest.mark.parametrize(
    "text",
    ["train: [1, 2\n", "- a\n- b\n", "", "a: b: c\n", b"\xff\xfe"],
    ids=["open", "list", "empty", "colons", "bytes"],
)
def test_a_broken_params_file_is_refused_by_its_path(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert str(path) in refused(lambda: load_yaml(path))
