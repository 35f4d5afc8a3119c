"""stages/parameters/checks.py and run.py: values that do not fit the pictures, the network or each other."""

import pytest
from params_helpers import BASE, resolved, with_key
from stage_helpers import refused

from stages.parameters.checks import check_counts
from stages.parameters.resolution import resolve_run
from stages.words import plural


def counts(images, k=50, dim=20):
    content = with_key("cluster.k", k)
    content["whiten"]["dim"] = dim
    check_counts(resolve_run(content, "demo"), images)


def test_more_clusters_than_pictures_are_refused_with_both_numbers():
    line = refused(lambda: counts(1300, 10_000))
    assert "10000" in line
    assert "1,300 pictures" in line
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
    assert f"{plural(images, 'usable picture')} in" in refused(lambda: counts(images, k=1, dim=1))


def test_what_a_refusal_proposes_is_accepted():
    counts(1300, 65)
    counts(100, dim=50)


@pytest.mark.parametrize("side", [16, 32, 62])
def test_alexnet_below_63_pixels_is_refused_with_the_least_size_and_the_networks_that_take_less(side):
    line = refused(lambda: resolved("model.input", side))
    assert "model.input" in line
    small = "convnet, resnet10-cifar, resnet18-cifar"
    if side >= 32:
        small = "vgg16, resnet18, resnet50, resnet10, convnet, resnet10-cifar, resnet18-cifar"
    assert f"--set model.input=63, or another model.architecture ({small})" in line


def test_an_input_too_small_for_every_network_is_refused_without_another():
    line = refused(lambda: resolved("model.input", 7))
    assert line.endswith("--set model.input=63")


def test_alexnet_at_63_pixels_and_the_others_at_32_are_accepted():
    assert resolved("model.input", 63).model.input == 63
    for name in ("vgg16", "resnet18", "resnet50"):
        content = with_key("model.input", 32)
        content["model"]["architecture"] = name
        content["runs"]["demo"] = {}
        content["whiten"]["dim"] = 16
        assert resolve_run(content, "demo").model.input == 32


def test_a_crop_larger_than_the_pictures_is_refused():
    size = BASE["datasets"]["demo"]["size"]
    line = refused(lambda: resolved("model.input", size + 1))
    assert "model.input" in line
    assert f"(size {size})" in line


def test_more_dimensions_than_the_network_has_features_are_refused():
    content = with_key("whiten.dim", 257)
    content["model"]["width"] = 0.0625
    line = refused(lambda: resolve_run(content, "demo"))
    assert "whiten.dim" in line
    assert "--set whiten.dim=256" in line


def test_as_many_dimensions_as_a_residual_network_has_features_are_accepted():
    content = with_key("whiten.dim", 616)
    content["model"] |= {"architecture": "resnet50", "width": 0.3}
    content["runs"]["demo"] = {}
    assert resolve_run(content, "demo").whiten.dim == 616
    content["whiten"]["dim"] = 617
    assert "--set whiten.dim=616" in refused(lambda: resolve_run(content, "demo"))


def test_a_cosine_schedule_must_reach_the_last_epoch():
    content = with_key("train.schedule", "cosine")
    content["epochs"] = 30
    content["train"]["horizon"] = 29
    assert "train.horizon" in refused(lambda: resolve_run(content, "demo"))
    content["train"]["horizon"] = 30
    assert resolve_run(content, "demo").train.horizon == 30


def small_network(key, value, architecture="resnet10"):
    content = with_key(key, value)
    content["model"]["architecture"] = architecture
    content["runs"]["demo"] = {}
    content["whiten"]["dim"] = 16
    return content


def test_training_crops_of_another_side_go_with_networks_that_take_any():
    assert resolve_run(small_network("train.input", 48), "demo").train.input == 48
    line = refused(lambda: resolved("train.input", 48))
    assert line.endswith("takes pictures of model.input alone, 64 pixels: --set train.input=null")
    line = refused(lambda: resolve_run(small_network("train.input", 16), "demo"))
    assert line == (
        "params.yaml: train.input: resnet10 needs pictures of at least 32 pixels, not 16: --set train.input=null"
    )


def test_nesterov_needs_momentum():
    content = with_key("train.nesterov", True)
    assert resolve_run(content, "demo").train.nesterov
    content["train"]["momentum"] = 0.0
    assert refused(lambda: resolve_run(content, "demo")).endswith("--set train.nesterov=false")
