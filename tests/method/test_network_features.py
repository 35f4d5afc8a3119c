"""stages/method/networks.py: which ReLU is removed, what is dropped, folded networks, gradients."""

import copy
import math

import pytest
import torch
from network_helpers import pictures, small
from torch import nn

from stages.method.architectures import ARCHITECTURES
from stages.method.networks import fold, trainable


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folded_network_has_the_same_features_and_no_batch_normalisation(architecture):
    network = small(architecture, input=64)
    network(pictures(16, 64))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    batch = pictures(4, 64, seed=1)
    with torch.inference_mode():
        expected = network.eval().features(batch)
        found = fold(network).features(batch)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("sobel", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_of_a_narrow_network_as_it_is_placed_equal_float64(architecture, sobel):
    """In the layout that stages use: a library's fault there gave narrow shortcuts gradients that were half wrong."""
    network = small(architecture, sobel, input=64, dropout=0.0).train()
    exact = copy.deepcopy(network).double()
    placed = network.to(memory_format=torch.channels_last)
    batch = pictures(8, 64).contiguous(memory_format=torch.channels_last)
    for model in (placed, exact):
        (model.features(batch) ** 2).sum().backward()
    for ours, theirs in zip(trainable(placed), trainable(exact), strict=True):
        # A bias before batch normalisation has no gradient but rounding.
        if ours.dim() > 1:
            assert (ours.grad - theirs.grad).norm() <= 0.1 * theirs.grad.norm()


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
def test_the_last_relu_is_removed_from_the_features_and_back_for_training(architecture):
    network = small(architecture).eval()
    # Initial linear layers give values near zero: no sign is favoured, and each half must be there.
    batch = pictures(8, ARCHITECTURES[architecture].least_input)
    with torch.inference_mode():
        features, forward = network.features(batch), network(batch)
    assert 0.1 < (features < 0).float().mean() < 0.9
    assert torch.equal(forward, features.clamp(min=0))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "convnet"])
def test_averaged_features_are_what_the_top_layer_sees(architecture):
    network = small(architecture).eval()
    batch = pictures(2, 32)
    with torch.inference_mode():
        assert torch.equal(network.features(batch), network(batch))


def seen_by_linear_layers(network, batch):
    """What each hidden layer was given, and what the layer before it gave."""
    given, before = [], []
    layers = list(network.classifier)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda module, inputs, _: given.append(inputs[0].detach().clone()))
        if isinstance(layer, (nn.Flatten, nn.ReLU)):
            layer.register_forward_hook(lambda module, _, output: before.append(output.detach().clone()))
    network.train()(batch)
    return given, before


def halved(given, before):
    alive = before > 0
    kept = given[alive] > 0
    torch.testing.assert_close(given[alive][kept], 2 * before[alive][kept])
    # Five standard deviations of a fair coin.
    return abs(kept.float().mean() - 0.5) < 2.5 / math.sqrt(len(kept))


def test_alexnet_drops_half_of_the_units_before_each_hidden_layer():
    torch.manual_seed(0)
    given, before = seen_by_linear_layers(small("alexnet", width=0.25), pictures(8, 63))
    assert halved(given[0], before[0])
    assert halved(given[1], before[1])


def test_vgg16_drops_half_of_the_units_between_its_hidden_layers_only():
    """VGG-16's convolutions go into the first hidden layer whole (table D, and the reference)."""
    torch.manual_seed(0)
    given, before = seen_by_linear_layers(small("vgg16", width=0.25), pictures(8, 32))
    assert halved(given[1], before[1])
    assert torch.equal(given[0], before[0])


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
def test_evaluation_drops_nothing(architecture):
    network = small(architecture).eval()
    batch = pictures(2, ARCHITECTURES[architecture].least_input)
    with torch.inference_mode():
        assert torch.equal(network.features(batch), network.features(batch))
