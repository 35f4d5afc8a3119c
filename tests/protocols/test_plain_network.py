"""stages/protocols/plain_network.py: the parts are copies, and freezing goes by the names of layers."""

import pytest
import torch
from network_helpers import small
from torch import nn

from stages.errors import Refusal
from stages.protocols.plain_network import draw_hidden, named_layers, take_apart, to_tensor, train_only


@pytest.mark.parametrize(("architecture", "counts"), [("alexnet", [1, 1, 1, 1, 1]), ("vgg16", [2, 2, 3, 3, 3])])
@pytest.mark.parametrize("last_pool", [True, False])
def test_conv1_to_conv5_are_alexnets_convolutions_and_vgg16s_blocks(architecture, counts, last_pool):
    convolutions = small(architecture).convolutions
    layers = named_layers(convolutions if last_pool else convolutions[:-1])
    assert list(layers) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    found = [sum(isinstance(module, nn.Conv2d) for module in modules) for modules in layers.values()]
    assert found == counts
    flat = [id(module) for modules in layers.values() for module in modules]
    assert flat == [id(module) for module in (convolutions if last_pool else convolutions[:-1])]


@pytest.mark.parametrize(
    ("architecture", "input", "side"), [("alexnet", 224, 6), ("vgg16", 224, 7), ("alexnet", 64, 1), ("vgg16", 32, 1)]
)
def test_the_side_is_that_of_what_fc6_sees(architecture, input, side):
    network = small(architecture, input=input)
    parts = take_apart(network)
    assert parts.side == side
    pictures = torch.zeros(1, 3, input, input, dtype=torch.uint8)
    assert network.convolutions(network.input(pictures)).shape[-1] == side


def test_parts_are_copies():
    network = small("alexnet")
    parts = take_apart(network)
    assert torch.equal(parts.fc6.weight, network.classifier[2].weight)
    assert torch.equal(parts.fc7.weight, network.classifier[5].weight)
    theirs = {value.data_ptr() for value in network.parameters()}
    ours = [*parts.convolutions.parameters(), *parts.fc6.parameters(), *parts.fc7.parameters()]
    assert len(ours) == len(theirs) and not theirs & {value.data_ptr() for value in ours}


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "convnet"])
def test_networks_that_end_in_an_average_are_refused(architecture):
    with pytest.raises(Refusal, match=r"model\.architecture is alexnet or vgg16"):
        take_apart(small(architecture, width=1.0 if architecture == "resnet18" else 0.5))


def test_hidden_layers_are_drawn_anew_from_the_generator_alone():
    parts = take_apart(small("alexnet", width=0.25))
    drawn = []
    for _ in range(2):
        draw_hidden(parts, torch.Generator().manual_seed(3))
        drawn.append(parts.fc7.weight.detach().clone())
    assert torch.equal(*drawn)
    assert float(drawn[0].std()) == pytest.approx(0.01, rel=0.01) and abs(float(drawn[0].mean())) < 1e-4
    assert (parts.fc6.bias == 0.1).all() and (parts.fc7.bias == 0.1).all()


def trained(convolutions):
    """Numbers of the modules that SGD changes."""
    return {int(name.split(".")[0]) for name, parameter in convolutions.named_parameters() if parameter.requires_grad}


def test_freezing_a_layer_freezes_its_normalisation_too():
    convolutions = take_apart(small("alexnet")).convolutions
    # Convolutions with their normalisation: 0, 1; 4, 5; 8, 9; 11, 12; 14, 15.
    train_only(convolutions, "all", ["conv1"])
    assert trained(convolutions) == {4, 5, 8, 9, 11, 12, 14, 15}
    train_only(convolutions, "all", [])
    assert trained(convolutions) == {0, 1, 4, 5, 8, 9, 11, 12, 14, 15}
    train_only(convolutions, "fc6-8", [])
    assert trained(convolutions) == set()


def test_freezing_conv1_and_conv2_of_vgg16_freezes_four_convolutions():
    convolutions = take_apart(small("vgg16")).convolutions
    train_only(convolutions, "all", ["conv1", "conv2"])
    frozen = [m for m in convolutions if isinstance(m, nn.Conv2d) and not m.weight.requires_grad]
    assert [m.out_channels for m in frozen] == [4, 4, 8, 8]


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match=r"frozen: conv6 is no layer of this network, which has conv1, .*conv5"):
        train_only(take_apart(small("alexnet")).convolutions, "all", ["conv6"])


def test_a_mirrored_view_becomes_a_tensor():
    picture = torch.arange(24, dtype=torch.uint8).view(2, 4, 3).numpy()
    found = to_tensor(picture[:, ::-1], torch.device("cpu"))
    assert found.shape == (1, 3, 2, 4) and found[0, :, 1, 0].tolist() == picture[1, 3].tolist()
