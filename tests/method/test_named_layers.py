"""stages/method/named_layers.py: the layers of section 4 are where torch's modules say."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50, vgg16_bn

from stages.method.architectures import ARCHITECTURES
from stages.method.named_layers import dimension, least_side, map_shape, names, places, vectors
from stages.method.networks import Backbone

CONV = [f"conv{number}" for number in range(1, 6)]
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def unfilled(architecture, **options):
    with torch.device("meta"):
        return Backbone(architecture, **options).eval()


@each_architecture
def test_every_architecture_has_conv1_to_conv5(architecture):
    assert list(places(ARCHITECTURES[architecture])) == CONV


@each_architecture
@pytest.mark.parametrize("width", [1 / 16, 1.0])
@pytest.mark.parametrize("side", [97, 224])
def test_shapes_are_those_of_the_maps(architecture, width, side):
    options = {"sobel": True, "input": side, "width": width}
    value, found = torch.empty(1, 2, side, side, device="meta"), {}
    by_module = {place.module: name for name, place in places(ARCHITECTURES[architecture]).items()}
    for index, module in enumerate(unfilled(architecture, **options).convolutions):
        value = module(value)
        if index in by_module:
            found[by_module[index]] = tuple(value.shape[1:])
    for name in CONV:
        channels, side = map_shape(ARCHITECTURES[architecture], name, **options)
        assert (channels, side, side) == found[name]
        assert dimension(ARCHITECTURES[architecture], name, **options) == channels * side * side


def test_alexnets_maps_are_the_published_ones():
    """The sizes that the released code's pooling was made for."""
    found = [map_shape(ARCHITECTURES["alexnet"], name, sobel=True, input=224) for name in CONV]
    assert found == [(96, 55), (256, 27), (384, 13), (384, 13), (256, 13)]


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
def test_a_place_is_a_relu_and_no_convolution_is_left_out(architecture):
    modules = list(unfilled(architecture, sobel=True, input=224).convolutions)
    ends = [place.module for place in places(ARCHITECTURES[architecture]).values()]
    assert all(isinstance(modules[end], nn.ReLU) for end in ends)
    after = [modules[end + 1] for end in ends if end + 1 < len(modules)]
    # AlexNet has three convolutions in its last block; each of VGG-16's ends before a pooling.
    expected = [nn.MaxPool2d, nn.MaxPool2d, nn.Conv2d, nn.Conv2d, nn.MaxPool2d] if architecture == "alexnet" else None
    assert [type(module) for module in after] == (expected or [nn.MaxPool2d] * 5)


@pytest.mark.parametrize(
    ("architecture", "theirs", "ends"),
    [
        ("vgg16", vgg16_bn, ["features.5", "features.12", "features.22", "features.32", "features.42"]),
        ("resnet18", resnet18, ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("resnet50", resnet50, ["relu", "layer1", "layer2", "layer3", "layer4"]),
    ],
)
def test_maps_are_those_of_torchvisions_networks(architecture, theirs, ends):
    """Compared by shape: the last convolution of each block, and each group of residual blocks."""
    shapes = {}
    with torch.device("meta"):
        network = theirs().eval()
    for name in ends:
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    ours = [map_shape(ARCHITECTURES[architecture], name, sobel=False, input=224) for name in CONV]
    assert [(c, s, s) for c, s in ours] == [shapes[name] for name in ends]


@each_architecture
def test_vectors_have_as_many_values_as_the_network_gives(architecture):
    options = {"sobel": True, "input": 96, "width": 1 / 16}
    network = unfilled(architecture, **options)
    flat = network.convolutions(torch.empty(1, 2, 96, 96, device="meta"))
    hidden = network.classifier(flat).shape[1]
    found = {
        name: dimension(ARCHITECTURES[architecture], name, **options) for name in vectors(ARCHITECTURES[architecture])
    }
    if architecture in ("alexnet", "vgg16"):
        assert found == {"pool": flat[0].numel(), "fc6": hidden, "fc7": hidden, "features": hidden}
    else:
        assert found == {"pool": hidden, "features": hidden}
    assert names(ARCHITECTURES[architecture]) == (*CONV, *found)


@each_architecture
@pytest.mark.parametrize("name", CONV)
def test_a_pixel_less_than_the_least_side_leaves_nothing_of_a_map(architecture, name):
    facts = ARCHITECTURES[architecture]
    least, end = least_side(facts, name), places(facts)[name].module + 1
    trunk = unfilled(architecture, sobel=False, input=224, width=1 / 16).convolutions[:end]
    assert trunk(torch.empty(1, 3, least, least + 9, device="meta")).shape[2] == 1
    if least > 1:
        with pytest.raises(RuntimeError):
            trunk(torch.empty(1, 3, least - 1, least + 9, device="meta"))
    else:
        assert architecture.startswith("resnet") or name == "conv1"


def test_neither_torch_nor_numpy_is_imported():
    code = "import sys, stages.method.named_layers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "stages.method.named_layers" in loaded
    assert not {"torch", "numpy", "torchvision"} & set(loaded)
