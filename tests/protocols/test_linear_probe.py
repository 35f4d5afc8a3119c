"""stages/protocols/linear_probe.py: pooled sizes, both protocols' step sizes, and that probes tell classes apart."""

import math

import numpy as np
import pytest
import torch
from network_helpers import small
from torch import nn

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, Shape
from stages.method.named_layers import map_shape, names
from stages.protocols.accuracy import topk_accuracy
from stages.protocols.layers import FrozenLayers
from stages.protocols.linear_probe import (
    RELEASED_RATES,
    ZHANG_RATES,
    Rates,
    adaptive_pool,
    labelled_subset,
    linear_probe,
)

CPU = torch.device("cpu")
CONV = list(RELEASED_RATES)


def probe(architecture="alexnet", rates=None, classes=10, *, width=1.0, input=224, **options):
    return linear_probe(
        architecture,
        rates or RELEASED_RATES,
        classes,
        sobel=True,
        input=input,
        width=width,
        seed=options.pop("seed", 0),
        device=CPU,
        **options,
    )


def inputs_of(heads):
    return {name: head[-1].in_features for name, head in heads.heads.items()}


@pytest.mark.parametrize("protocol", ["released-code", "zhang"])
def test_alexnets_classifiers_see_as_many_values_as_published(protocol):
    expected = dict(zip(CONV, [9600, 9216, 9600, 9600, 9216], strict=True))
    assert inputs_of(probe(protocol=protocol)) == expected


def test_alexnets_pooling_at_224_is_that_of_the_released_code():
    """Its average over conv1 counts zeros outside of the map: a map of ones is less than one at the border."""
    heads = probe().heads
    pooled = heads["conv1"][0](torch.ones(1, 96, 55, 55))
    assert pooled.shape == (1, 96, 10, 10)
    assert pooled[0, 0, 0, 0] == pytest.approx(9 / 36) and pooled[0, 0, 4, 4] == 1
    for name, (channels, side) in zip(CONV[1:], [(256, 27), (384, 13), (384, 13), (256, 13)], strict=True):
        assert heads[name][0](torch.ones(1, channels, side, side)).shape[2] in (5, 6)
    # 27 pixels in steps of 4 leave the last 3 out; an adaptive average would not.
    marked = torch.zeros(1, 256, 27, 27)
    marked[..., 24:] = 1
    assert heads["conv2"][0](marked).abs().sum() == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("width", "input"), [(1.0, 224), (0.25, 96), (1 / 16, 64)])
def test_no_classifier_sees_more_than_9600_values_and_few_see_many_less(architecture, width, input):
    found = inputs_of(probe(architecture, width=width, input=input))
    for name, values in found.items():
        channels, side = map_shape(ARCHITECTURES[architecture], name, sobel=True, input=input, width=width)
        grid = math.isqrt(values // channels)
        assert values == channels * grid**2 <= max(9600, channels) and grid <= side
        assert grid == side or channels * (grid + 1) ** 2 > 9600 or values == 9216


def test_a_small_map_is_not_pooled_and_a_large_one_is_averaged():
    assert isinstance(adaptive_pool(Shape(24, 20)), nn.Identity)
    pool = adaptive_pool(Shape(96, 20))
    maps = torch.arange(96 * 400.0).reshape(1, 96, 20, 20)
    torch.testing.assert_close(pool(maps), maps.unflatten(3, (10, 2)).mean(4).unflatten(2, (10, 2)).mean(3))


@pytest.mark.parametrize("protocol", ["released-code", "zhang"])
def test_layers_without_pixels_have_a_plain_linear_classifier(protocol):
    network = small("alexnet", input=64)
    asked = names(ARCHITECTURES["alexnet"])
    heads = probe(rates={name: Rates() for name in asked}, width=1 / 16, input=64, protocol=protocol)
    values = FrozenLayers(network, "alexnet", asked)(textured(4, 0)[0])
    heads.train_step(values, np.array([0, 1, 2, 3]))
    found = inputs_of(heads)
    for name in ("pool", "fc6", "fc7", "features"):
        assert found[name] == values[name].shape[1]
        kinds = [type(module) for module in heads.heads[name]]
        assert kinds[-1] is nn.Linear and (nn.BatchNorm1d in kinds) == (protocol == "zhang")


def test_the_released_step_size_of_each_layer():
    heads = probe(width=1 / 16, input=64)
    maps = {name: torch.zeros(2, *map_shape_of(name)) for name in CONV}
    rates = []
    for _ in range(3):
        rates.append([group["lr"] for group in heads.sgd.optimizer.param_groups])
        heads.train_step(maps, np.array([0, 1]))
    decay = [1e-4, 1e-4, 1e-7, 1e-4, 1e-4]
    assert [group["weight_decay"] for group in heads.sgd.optimizer.param_groups] == decay
    for step, found in enumerate(rates):
        assert found == pytest.approx([0.01 / math.sqrt(1 + 0.01 * wd * step) for wd in decay], rel=1e-12)
    assert all(group["momentum"] == 0.9 and not group["nesterov"] for group in heads.sgd.optimizer.param_groups)


def map_shape_of(name):
    channels, side = map_shape(ARCHITECTURES["alexnet"], name, sobel=True, input=64, width=1 / 16)
    return channels, side, side


def test_zhangs_step_size_falls_in_jumps_and_biases_have_twice_as_much_and_no_decay():
    heads = probe(rates={"conv3": ZHANG_RATES}, width=1 / 16, input=64, protocol="zhang", drop_every=2)
    maps = {"conv3": torch.randn(2, *map_shape_of("conv3"))}
    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in heads.sgd.optimizer.param_groups])
        heads.train_step(maps, np.array([0, 1]))
    expected = [[0.01, 0.02], [0.01, 0.02], [0.001, 0.002], [0.001, 0.002], [0.0001, 0.0002]]
    np.testing.assert_allclose(rates, expected)
    assert [group["weight_decay"] for group in heads.sgd.optimizer.param_groups] == [5e-4, 0]


def test_zhangs_classifier_sees_values_that_are_normalised_without_scale_or_shift():
    heads = probe(rates={"conv1": ZHANG_RATES}, width=1 / 16, input=64, protocol="zhang")
    head, seen = heads.heads["conv1"], []
    head[-1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    batches = [torch.rand(16, *map_shape_of("conv1")) * 7 + 3 for _ in range(4)]
    for maps in batches:
        heads.train_step({"conv1": maps}, np.arange(16) % 10)
    channels = seen[-1].reshape(16, 6, -1)
    torch.testing.assert_close(channels.mean((0, 2)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.var((0, 2), correction=0), torch.ones(6), atol=1e-3, rtol=0)
    assert not list(head[1].parameters())
    # What it is tested with is the mean over all batches so far.
    pooled = torch.stack([head[0](maps).mean((0, 2, 3)) for maps in batches]).mean(0)
    torch.testing.assert_close(head[1].running_mean, pooled)


def test_a_layers_first_weights_do_not_depend_on_other_layers_and_follow_the_seed():
    all_, one = probe(width=1 / 16, input=64), probe(rates={"conv4": Rates()}, width=1 / 16, input=64)
    assert torch.equal(all_.heads["conv4"][-1].weight, one.heads["conv4"][-1].weight)
    other = probe(width=1 / 16, input=64, seed=1)
    assert not torch.equal(all_.heads["conv4"][-1].weight, other.heads["conv4"][-1].weight)


def textured(n, seed):
    """Pictures with horizontal or vertical stripes of random width and phase, and the class of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    y, x = np.indices((64, 64))
    pictures = np.empty((n, 64, 64, 3), np.uint8)
    for i, label in enumerate(labels):
        along = x if label else y
        pictures[i] = (along // rng.integers(3, 6) % 2 * 200 + rng.integers(0, 50, (64, 64)))[..., None]
    return pictures, labels


@pytest.mark.parametrize(("protocol", "lr"), [("released-code", 1e-3), ("zhang", 1e-2)])
def test_probes_of_a_random_network_tell_stripes_apart(protocol, lr):
    """One forward pass a batch feeds all; where the labels are drawn by lot they learn nothing that holds."""
    layers = FrozenLayers(small("alexnet", input=64, width=0.25), "alexnet", ["conv1", "conv3"])
    pictures, labels = textured(256, 0)
    tests, truth = textured(128, 1)
    for given, least, most in ((labels, 0.9, 1.0), (np.random.default_rng(2).permutation(labels), 0.3, 0.7)):
        rates = {"conv1": Rates(lr), "conv3": Rates(lr)}
        heads = probe(rates=rates, classes=2, width=0.25, input=64, protocol=protocol)
        for start in [*range(0, 256, 32)] * 2:
            heads.train_step(layers(pictures[start : start + 32]), given[start : start + 32])
        for scores in heads.probabilities(layers(tests)).values():
            assert least <= topk_accuracy(scores.numpy(), truth, 1) <= most


def test_a_subset_has_as_many_of_each_class_and_no_image_twice():
    labels = np.array([0] * 50 + [-1] * 10 + [1] * 5 + [2] * 20)
    subset = labelled_subset(labels, 5, np.random.default_rng(0))
    assert np.bincount(labels[subset]).tolist() == [5, 5, 5]
    assert (np.diff(subset) > 0).all()
    assert not np.array_equal(subset, labelled_subset(labels, 5, np.random.default_rng(1)))
    with pytest.raises(Refusal, match="per_class: class 1 has 5 images, fewer than 6"):
        labelled_subset(labels, 6, np.random.default_rng(0))
