"""stages/method/networks.py: the weights that training starts from are normal, from the generator alone."""

import math

import pytest
import torch
from network_helpers import small
from scipy import stats
from torch import nn

from stages.method.architectures import ARCHITECTURES
from stages.method.networks import initialise, top_layer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_initial_weights_have_the_reference_deviations_and_zero_biases(architecture):
    network = small(architecture, width=0.125)
    kinds = set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.kernel_size[0] * module.kernel_size[1] * module.out_channels))
        elif isinstance(module, nn.Linear):
            expected = 0.01
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
            continue
        else:
            continue
        kinds.add(type(module))
        weights = module.weight.detach().double().flatten().numpy()
        n = len(weights)
        # The deviation of a sample of n scatters by 1 / sqrt(2 n) of itself, its mean by 1 / sqrt(n).
        assert abs(weights.std() / expected - 1) < 5 / math.sqrt(2 * n), module
        assert abs(weights.mean() / expected) < 5 / math.sqrt(n), module
        assert module.bias is None or (module.bias == 0).all()
    assert kinds == ({nn.Conv2d, nn.Linear} if architecture in ("alexnet", "vgg16") else {nn.Conv2d})


def test_a_projection_begins_with_the_deviations_of_torch_and_the_network_below_it_with_its_own():
    network = small("alexnet", width=0.125, projection=(600, 100))
    inputs = {network.projection[0]: network.projection[0].in_features, network.projection[3]: 600}
    assert inputs[network.projection[0]] == 512
    for module in network.modules():
        if isinstance(module, nn.Linear):
            # torch draws them uniformly up to sqrt(1 / inputs), whose deviation is sqrt(1 / (3 inputs)).
            expected = math.sqrt(1 / (3 * inputs[module])) if module in inputs else 0.01
            weights = module.weight.detach().double().flatten().numpy()
            assert abs(weights.std() / expected - 1) < 5 / math.sqrt(2 * len(weights)), module
            assert (module.bias == 0).all()
        if isinstance(module, nn.BatchNorm1d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
    for layer in inputs:
        weights = layer.weight.detach().numpy().ravel()
        assert stats.kstest(weights[::7] / weights.std(), "norm").pvalue > 0.001


def test_initial_weights_are_normal_not_uniform():
    weights = small("alexnet", width=0.125).convolutions[0].weight.detach().numpy().ravel()
    assert stats.kstest(weights / weights.std(), "norm").pvalue > 0.001


def test_initial_weights_follow_the_generator_alone():
    first, second = small("alexnet"), small("alexnet")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    initialise(second, torch.Generator().manual_seed(1))
    assert not torch.equal(first.convolutions[0].weight, second.convolutions[0].weight)


def test_a_new_top_layer_is_normal_with_deviation_a_hundredth_and_no_bias():
    torch.manual_seed(0)
    top = top_layer(256, 300)
    weights = top.weight.detach().double().numpy().ravel()
    assert top.weight.shape == (300, 256)
    assert (top.bias == 0).all()
    assert abs(weights.std() / 0.01 - 1) < 5 / math.sqrt(2 * len(weights))
    assert stats.kstest(weights[::7] / 0.01, "norm").pvalue > 0.001
