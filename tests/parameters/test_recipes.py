"""stages/parameters/: what goes with `recipe: deepcluster-v2` and with small crops, and what a recipe does not use."""

import copy

import pytest
from params_helpers import BASE, with_key
from pipeline_helpers import changed
from stage_helpers import refused

from stages.parameters.checks import check_counts
from stages.parameters.keys import flat, lookup
from stages.parameters.resolution import SETTLED, known_keys, resolve_run


def of_v2(key=None, value=None, architecture="resnet10-cifar", side=16):
    content = copy.deepcopy(BASE) if key is None else with_key(key, value)
    content["recipe"] = "deepcluster-v2"
    content["model"] |= {"architecture": architecture, "input": side}
    content["runs"]["demo"] = {}
    return content


def params_of_v2(*change, **options):
    return resolve_run(of_v2(*change, **options), "demo")


def with_small(architecture="resnet10-cifar", side=16, **small):
    """A run by the paper's recipe whose pictures have small crops too: they go with both."""
    content = of_v2(architecture=architecture, side=side)
    content["recipe"] = "deepcluster"
    content["whiten"]["dim"] = 16
    content["train"]["small"] |= {"views": 1} | small
    return content


def test_the_recipe_is_the_papers_unless_another_is_asked_for():
    assert resolve_run(BASE, "demo").recipe == "deepcluster"
    content = copy.deepcopy(BASE)
    del content["recipe"]
    assert resolve_run(content, "demo").recipe == "deepcluster"
    assert "recipe" in refused(lambda: resolve_run(with_key("recipe", "deepcluster-v3"), "demo"))


@pytest.mark.parametrize("method", ["labels", "pic"])
def test_deepcluster_v2_needs_the_centroids_of_k_means(method):
    line = refused(lambda: params_of_v2("cluster.method", method))
    assert line == (
        f"params.yaml: cluster.method: deepcluster-v2 trains on the centroids of k-means, and {method} has none: "
        "--set cluster.method=kmeans"
    )


@pytest.mark.parametrize("key", ["model.projection.hidden", "model.projection.dim", "train.temperature"])
def test_deepcluster_v2_needs_a_projection_and_a_temperature(key):
    line = refused(lambda: params_of_v2(key, None))
    assert line == f"params.yaml: {key}: null, and recipe deepcluster-v2 needs it: --set {key}=…"
    assert lookup(params_of_v2(key, 2).model_dump(), key) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.projection.hidden", 0),
        ("model.projection.dim", 0),
        ("train.temperature", 0.0),
        ("train.temperature", -0.1),
        ("train.views", 0),
        ("train.small.views", -1),
        ("train.small.input", 0),
        ("train.small.area", 0.0),
        ("train.small.area_most", 1.1),
        ("extract.views", 0),
        ("cluster.heads", 0),
        ("train.sampling", "sorted"),
    ],
)
def test_values_out_of_bounds_are_refused_by_their_key(key, value):
    assert key in refused(lambda: params_of_v2(key, value))


def test_small_crops_too_small_for_the_network_are_refused():
    line = refused(lambda: resolve_run(with_small(input=7), "demo"))
    assert line == (
        "params.yaml: train.small.input: resnet10-cifar needs pictures of at least 8 pixels, not 7: "
        "--set train.small.input=null"
    )
    assert resolve_run(with_small(input=8), "demo").train.small.input == 8
    # Half of the training crops where no side is given, or the least.
    params = resolve_run(with_small(side=15), "demo")
    assert params.train.sides(params.model) == (15, 8)


def test_small_crops_of_a_network_that_takes_one_side_alone_are_refused_at_another():
    line = refused(lambda: resolve_run(with_small("alexnet", 64), "demo"))
    assert line == (
        "params.yaml: train.small.views: alexnet takes pictures of model.input alone, 64 pixels: "
        "--set train.small.views=0"
    )
    assert resolve_run(with_small("alexnet", 64, input=64), "demo").train.small.views == 1
    assert resolve_run(with_small("alexnet", 64, views=0), "demo").train.small.views == 0


def test_the_least_area_of_small_crops_is_no_more_than_their_most():
    line = refused(lambda: resolve_run(with_small(area=0.2, area_most=0.1), "demo"))
    assert line == (
        "params.yaml: train.small.area: 0.2 is more than train.small.area_most, 0.1: --set train.small.area_most=0.2"
    )
    assert resolve_run(with_small(area=0.1, area_most=0.1), "demo").train.small.area == 0.1
    # Of no crops.
    assert resolve_run(with_small(views=0, area=0.2, area_most=0.1), "demo").train.small.area == 0.2


@pytest.mark.parametrize("key", ["train.input", "extract.input", "final.extract.input", "train.small.input"])
def test_a_side_that_would_fill_the_machine_is_refused_by_its_key(key):
    line = refused(lambda: resolve_run(changed(with_small(), key, 10_000), "demo"))
    assert line.startswith(f"params.yaml: {key}: ") and "2048" in line


@pytest.mark.parametrize("prefix", ["", "final."])
def test_a_centre_beyond_the_packed_pictures_is_refused_and_a_whole_picture_may_be_enlarged(prefix):
    content = changed(with_small(), f"{prefix}extract.input", 100)
    line = refused(lambda: resolve_run(content, "demo"))
    assert line.startswith(
        f"params.yaml: {prefix}extract.input: 100 is larger than the pictures of datasets.demo (size "
    )
    assert line.endswith(f": --set {prefix}extract.input=null")
    whole = changed(content, f"{prefix}extract.view", "whole")
    assert resolve_run(whole, "demo").at_the_end.extract.input == 100


def test_more_views_than_clusterings_are_refused_since_nothing_reads_them():
    line = refused(lambda: params_of_v2("cluster.heads", 1))
    assert line.startswith("params.yaml: extract.views: 1 ") and line.endswith("--set extract.views=1")


def test_views_that_are_clustered_are_changed_as_those_that_are_trained_on():
    assert params_of_v2("train.augment.area", 0.37).extract.augment.area == 0.37
    content = changed(of_v2("train.augment.area", 0.37), "recipe", "deepcluster")
    content["whiten"]["dim"] = 16
    assert resolve_run(content, "demo").extract.augment.area == 0.08


@pytest.mark.parametrize(("key", "value"), [("model.projection", 5), ("final", None), ("final.cluster", None)])
def test_a_value_in_place_of_a_section_is_one_line(key, value):
    content = changed(of_v2("train.views", 2), key, value)
    assert refused(lambda: resolve_run(content, "demo")) == (
        f"params.yaml: {key} must be a section of keys; see the comments in the committed params.yaml"
    )


@pytest.mark.parametrize(("key", "value"), [("cluster.heads", 0), ("train.temperature", -4.0)])
def test_a_wrong_value_of_a_key_that_the_recipe_does_not_use_is_refused_all_the_same(key, value):
    assert key in refused(lambda: resolve_run(changed(with_small(), key, value), "demo"))


@pytest.mark.parametrize("method", ["labels", "pic"])
def test_groups_of_a_method_that_counts_none_have_no_number_in_final_either(method):
    content = changed(changed(with_small(), "final.cluster.k", 3), "cluster.method", method)
    assert resolve_run(content, "demo").final.cluster.k is None


@pytest.mark.parametrize(
    ("side", "small", "sides"), [(None, None, (16, 8)), (20, None, (20, 10)), (None, 12, (16, 12)), (20, 12, (20, 12))]
)
def test_sides_of_crops_follow_one_another_where_none_is_given(side, small, sides):
    content = with_small(input=small)
    content["train"]["input"] = side
    params = resolve_run(content, "demo")
    assert params.train.sides(params.model) == sides


def test_whitening_is_neither_checked_nor_counted_where_nothing_is_whitened():
    params = params_of_v2("whiten.dim", 5000)
    check_counts(params, 100)
    line = refused(lambda: check_counts(params, 20))
    assert "cluster.k" in line and "whiten" not in line
    content = of_v2("whiten.dim", 5000)
    content["recipe"] = "deepcluster"
    assert "whiten.dim" in refused(lambda: resolve_run(content, "demo"))


@pytest.mark.parametrize("recipe", SETTLED)
def test_what_a_recipe_does_not_use_resolves_to_one_value_whatever_is_written(recipe):
    other = {
        "model.projection.hidden": 7,
        "model.projection.dim": 7,
        "extract.views": 5,
        **{f"extract.augment.{name}": 0.15 for name in ("area", "flip", "jitter", "hue", "grey", "blur")},
        "final.whiten.dim": 7,
        "final.whiten.scale": False,
        "cluster.heads": 5,
        "cluster.spherical": False,
        "train.temperature": 0.3,
        "train.top_lr": 0.3,
        "train.top_momentum": 0.3,
        "train.top_kept": True,
    }
    unused = flat(SETTLED[recipe])
    assert set(unused) <= set(other) and set(other) <= set(known_keys())
    for key, value in unused.items():
        content = of_v2(key, other[key])
        content["recipe"] = recipe
        content["whiten"]["dim"] = 16
        assert lookup(resolve_run(content, "demo").model_dump(), key) == value != other[key]


@pytest.mark.parametrize("recipe", SETTLED)
def test_a_key_that_a_recipe_does_not_use_is_refused_all_the_same_where_it_is_unknown(recipe):
    content = of_v2("model.projection.hiden", 7)
    content["recipe"] = recipe
    assert "model.projection.hiden: no such key" in refused(lambda: resolve_run(content, "demo"))
