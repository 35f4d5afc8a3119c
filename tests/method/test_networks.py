"""The convnets: the paper's shapes and counts, initial weights, and which ReLU is removed."""

import copy
import math

import numpy as np
import pytest
import torch
import torchvision
from scipy import stats
from torch import nn

from stages.method.networks import Backbone, fold, initialise, top_layer, trained
from stages.parameters.model import LEAST_INPUT

ARCHITECTURES = ("alexnet", "vgg16", "resnet18", "resnet50")

# filters, kernel, and channels that come in, of REFERENCE.md's table and of VGG-16's table D.
ALEXNET = [(96, 11, None), (256, 5, 96), (384, 3, 256), (384, 3, 384), (256, 3, 384)]
VGG16 = [
    *[(64, 3, None), (64, 3, 64), (128, 3, 64), (128, 3, 128)],
    *[(256, 3, 128), (256, 3, 256), (256, 3, 256)],
    *[(512, 3, 256), (512, 3, 512), (512, 3, 512)],
    *[(512, 3, 512), (512, 3, 512), (512, 3, 512)],
]


def paper_count(table, channels, flat):
    total = 0
    for filters, kernel, incoming in table:
        total += filters * (incoming or channels) * kernel * kernel + filters  # convolution
        total += 2 * filters  # batch normalisation
    return total + (flat * 4096 + 4096) + (4096 * 4096 + 4096)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def pictures(n, side, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def small(architecture, sobel=True, **options):
    options = {"input": LEAST_INPUT[architecture], "width": 1 / 16} | options
    network = Backbone(architecture, sobel=sobel, **options)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def shapes_of(network, channels, kind):
    """Shapes, without the batch, that leave the layers of a kind for a picture of 224 pixels."""
    shapes = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape[1:])))
    network.eval().classifier(network.convolutions(torch.empty(1, channels, 224, 224)))
    return shapes


@pytest.fixture
def without_memory():
    """Full-size networks are built for their shapes alone."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize(("sobel", "channels"), [(True, 2), (False, 3)])
@pytest.mark.parametrize(("architecture", "table", "flat"), [("alexnet", ALEXNET, 9216), ("vgg16", VGG16, 512 * 7 * 7)])
def test_parameter_counts_are_the_papers(without_memory, architecture, table, flat, sobel, channels):
    network = Backbone(architecture, sobel=sobel, input=224)
    assert count(network) == paper_count(table, channels, flat)
    assert network.dim == 4096


def test_vgg16_in_colour_counts_what_torchvisions_does_without_its_top_layer(without_memory):
    network = Backbone("vgg16", sobel=False, input=224)
    theirs = torchvision.models.vgg16_bn()
    assert count(network) == count(theirs) - count(theirs.classifier[-1])


@pytest.mark.parametrize(("sobel", "channels"), [(True, 2), (False, 3)])
def test_alexnets_layers_have_the_papers_shapes(without_memory, sobel, channels):
    network = Backbone("alexnet", sobel=sobel, input=224)
    assert shapes_of(network, channels, (nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.Linear)) == [
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
        (9216,),
        (4096,),
        (4096,),
    ]


@pytest.mark.parametrize(("sobel", "channels"), [(True, 2), (False, 3)])
def test_vgg16s_layers_have_the_papers_shapes(without_memory, sobel, channels):
    network = Backbone("vgg16", sobel=sobel, input=224)
    assert shapes_of(network, channels, (nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.Linear)) == [
        *[(64, 224, 224)] * 2,
        (64, 112, 112),
        *[(128, 112, 112)] * 2,
        (128, 56, 56),
        *[(256, 56, 56)] * 3,
        (256, 28, 28),
        *[(512, 28, 28)] * 3,
        (512, 14, 14),
        *[(512, 14, 14)] * 3,
        (512, 7, 7),
        (25088,),
        (4096,),
        (4096,),
    ]


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
def test_each_convolution_is_followed_by_batch_norm_and_relu(architecture):
    layers = list(small(architecture).convolutions)
    followers = [layers[i + 1 : i + 3] for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert followers
    for norm, activation in followers:
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(activation, nn.ReLU)


@pytest.mark.parametrize(("architecture", "dim"), [("resnet18", 512), ("resnet50", 2048)])
def test_residual_networks_count_what_torchvisions_do_without_their_top_layer(without_memory, architecture, dim):
    theirs = getattr(torchvision.models, architecture)()
    network = Backbone(architecture, sobel=False, input=224)
    assert count(network) == count(theirs) - count(theirs.fc)
    assert network.dim == dim
    # Sobel has one input channel less in the first 64 filters of 7x7.
    assert count(Backbone(architecture, sobel=True, input=224)) == count(network) - 64 * 7 * 7


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_residual_networks_with_torchvisions_weights_give_its_outputs(architecture):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, architecture)().eval()
    theirs.fc = nn.Identity()
    network = Backbone(architecture, sobel=False, input=64).eval()
    ours = network.state_dict()
    assert len(ours) == len(theirs.state_dict())
    network.load_state_dict(dict(zip(ours, theirs.state_dict().values(), strict=True)))
    batch = pictures(2, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.features(batch), theirs(network.input(batch)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sobel", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_least_input_goes_through_forwards_and_backwards(architecture, sobel):
    network = small(architecture, sobel).train()
    out = network(pictures(3, LEAST_INPUT[architecture]))
    assert out.shape == (3, network.dim)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in trained(network))
    # A residual layer of the last stage sees one pixel a picture; none is without a value.
    assert out.isfinite().all()


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
    for ours, theirs in zip(trained(placed), trained(exact), strict=True):
        # A bias before batch normalisation has no gradient but rounding.
        if ours.dim() > 1:
            assert (ours.grad - theirs.grad).norm() <= 0.1 * theirs.grad.norm()


@pytest.mark.parametrize(("architecture", "side"), [("alexnet", 62), ("vgg16", 31)])
def test_one_pixel_less_than_the_least_input_leaves_nothing(architecture, side):
    convolutions = small(architecture).convolutions.eval()
    with pytest.raises(RuntimeError, match="too small"):
        convolutions(torch.zeros(1, 2, side, side))


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
def test_the_last_relu_is_removed_from_the_features_and_back_for_training(architecture):
    network = small(architecture).eval()
    # Initial linear layers give values near zero: no sign is favoured, and each half must be there.
    batch = pictures(8, LEAST_INPUT[architecture])
    with torch.inference_mode():
        features, forward = network.features(batch), network(batch)
    assert 0.1 < (features < 0).float().mean() < 0.9
    assert torch.equal(forward, features.clamp(min=0))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_residual_features_are_what_the_top_layer_sees(architecture):
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
    batch = pictures(2, LEAST_INPUT[architecture])
    with torch.inference_mode():
        assert torch.equal(network.features(batch), network.features(batch))


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


def test_width_scales_the_channels_of_every_layer():
    network = Backbone("alexnet", sobel=True, input=224, width=0.25)
    weights = [module.weight.shape[0] for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert weights == [24, 64, 96, 96, 64, 1024, 1024]
    for architecture in ("resnet18", "resnet50"):
        whole = Backbone(architecture, sobel=False, input=32)
        half = Backbone(architecture, sobel=False, input=32, width=0.5)
        for a, b in zip(whole.parameters(), half.parameters(), strict=True):
            assert a.shape[0] == 2 * b.shape[0]
