"""stages/protocols/layers.py: what a layer gives is what hooks on the modules see, and nothing changes it after."""

import copy

import numpy as np
import pytest
import torch
from network_helpers import pictures, small
from torch import nn

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.method.features import embed
from stages.method.named_layers import names, places
from stages.method.networks import fold, place
from stages.protocols.layers import FrozenLayers

each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def trained(architecture, side=64, sobel=True):
    """A network whose statistics, scales and shifts are no longer those of the start, so that each is seen."""
    network = small(architecture, sobel, input=side)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-0.5, 1, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)
    return network


def batch(n, side, seed=0):
    return np.ascontiguousarray(pictures(n, side, seed).permute(0, 2, 3, 1).numpy())


def seen_by_hooks(network, architecture, images):
    """A copy of each layer at the moment when its module gives it."""
    found = {}

    def keep(name):
        return lambda module, inputs, output: found.setdefault(name, output.detach().clone())

    for name, where in places(ARCHITECTURES[architecture]).items():
        network.convolutions[where.module].register_forward_hook(keep(name))
    network.activation.register_forward_hook(keep("fc7"))
    network.classifier.register_forward_hook(keep("features"))
    if architecture in ("alexnet", "vgg16"):
        network.classifier[0].register_forward_hook(keep("pool"))
        network.classifier[3].register_forward_hook(keep("fc6"))
    with torch.no_grad():
        network.eval()(images)
    if architecture not in ("alexnet", "vgg16"):
        found["pool"] = found["features"]
        del found["fc7"]
    return found


@each_architecture
@pytest.mark.parametrize("sobel", [True, False])
def test_all_layers_of_one_pass_are_what_hooks_see(architecture, sobel):
    network = trained(architecture, sobel=sobel)
    expected = seen_by_hooks(copy.deepcopy(network), architecture, torch.from_numpy(batch(3, 64)).permute(0, 3, 1, 2))
    found = FrozenLayers(network.train(), architecture, names(ARCHITECTURES[architecture]))(batch(3, 64))
    assert tuple(found) == names(ARCHITECTURES[architecture])
    assert set(expected) == set(found)
    for name, value in found.items():
        assert torch.equal(value, expected[name])
        assert value.dtype == torch.float32
    maps = [value for name, value in found.items() if name.startswith("conv")]
    assert all(value.ndim == 4 and value.min() == 0 and 0.05 < (value > 0).float().mean() < 1 for value in maps)


@each_architecture
def test_a_layer_is_the_same_whichever_others_are_asked(architecture):
    network = trained(architecture)
    together = FrozenLayers(network, architecture, names(ARCHITECTURES[architecture]))(batch(2, 64))
    for name in names(ARCHITECTURES[architecture]):
        alone = FrozenLayers(network, architecture, [name])(batch(2, 64))
        assert list(alone) == [name] and torch.equal(alone[name], together[name])


@each_architecture
def test_features_are_those_that_are_clustered(architecture):
    network = place(trained(architecture).eval(), torch.device("cpu"))
    expected = embed(network, [torch.from_numpy(batch(3, 64)).permute(0, 3, 1, 2)], "float32")
    found = FrozenLayers(network, architecture, ["features"])(batch(3, 64))
    np.testing.assert_array_equal(found["features"], expected)


@each_architecture
def test_a_folded_network_has_the_same_layers(architecture):
    network = trained(architecture)
    asked = names(ARCHITECTURES[architecture])
    expected = FrozenLayers(copy.deepcopy(network), architecture, asked)(batch(2, 64))
    found = FrozenLayers(fold(network.eval()), architecture, asked)(batch(2, 64))
    for name in asked:
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4 * scale)


@each_architecture
def test_nothing_of_the_network_changes_and_no_gradient_reaches_it(architecture):
    network = trained(architecture).train()
    before = copy.deepcopy(network.state_dict())
    maps = FrozenLayers(network, architecture, ["conv5", "pool"])(batch(3, 64))
    for value in (maps["conv5"].flatten(1), maps["pool"]):
        head = nn.Linear(value.shape[1], 2)
        head(value).sum().backward()
        assert head.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@each_architecture
def test_no_more_of_the_network_is_computed_than_is_asked(architecture):
    network = trained(architecture)
    network.convolutions[-1].register_forward_hook(lambda *_: pytest.fail("computed in vain"))
    found = FrozenLayers(network, architecture, ["conv2", "conv1"])(batch(2, 64))
    assert list(found) == ["conv1", "conv2"]


@each_architecture
def test_maps_of_a_picture_of_any_shape(architecture):
    network = trained(architecture)
    picture = np.random.default_rng(0).integers(0, 256, (1, 70, 131, 3), dtype=np.uint8)
    maps = FrozenLayers(network, architecture, ["conv3", "conv5"])(picture)
    tall = FrozenLayers(network, architecture, ["conv5"])(np.ascontiguousarray(picture.swapaxes(1, 2)))
    assert maps["conv5"].shape[2] < maps["conv5"].shape[3]
    assert tall["conv5"].shape[2:] == maps["conv5"].shape[:1:-1]


def test_lower_precision_is_near_and_given_back_as_float32():
    network = trained("alexnet", side=96)
    exact = FrozenLayers(network, "alexnet", ["conv3"])(batch(2, 96))["conv3"]
    rough = FrozenLayers(network, "alexnet", ["conv3"], precision="bf16")(batch(2, 96))["conv3"]
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(("architecture", "layer"), [("alexnet", "conv6"), ("resnet18", "fc6"), ("vgg16", "Conv1")])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(architecture, layer):
    with pytest.raises(Refusal, match=f"{architecture} has no layer '{layer}'; it has conv1, .*features"):
        FrozenLayers(small(architecture, input=64), architecture, ["conv1", layer])
