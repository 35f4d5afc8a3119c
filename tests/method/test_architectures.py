"""stages/method/architectures.py: what it says of networks without building them, torch must say too."""

import subprocess
import sys

import pytest
import torch
from network_helpers import count, pictures, small
from torch import nn

from stages.method.architectures import ARCHITECTURES
from stages.method.networks import Backbone, trainable

PLAIN = ("alexnet", "vgg16")

each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
sobel_or_colours = pytest.mark.parametrize("sobel", [True, False])
# The narrowest have a single filter a layer, or the least that a residual one may have.
each_width = pytest.mark.parametrize("width", [0.005, 1 / 16, 0.3, 1.0, 1.5])


def unfilled(architecture, **options):
    """A network for its shapes alone."""
    with torch.device("meta"):
        return Backbone(architecture, **options)


@each_architecture
@sobel_or_colours
@each_width
@pytest.mark.parametrize("side", [None, 96, 224], ids=["least", "96", "224"])
def test_parameters_are_as_many_as_the_networks(architecture, sobel, width, side):
    facts = ARCHITECTURES[architecture]
    options = {"sobel": sobel, "input": side or facts.least_input, "width": width}
    assert facts.parameters(**options) == count(unfilled(architecture, **options))


@pytest.mark.parametrize(
    ("architecture", "published", "top"),
    [
        ("vgg16", 138_365_992, 4096 * 1000 + 1000),
        ("resnet18", 11_689_512, 512 * 1000 + 1000),
        ("resnet50", 25_557_032, 2048 * 1000 + 1000),
    ],
)
def test_parameters_are_the_published_ones_without_the_top_layer(architecture, published, top):
    assert ARCHITECTURES[architecture].parameters(sobel=False, input=224) == published - top


@each_architecture
@sobel_or_colours
@each_width
@pytest.mark.parametrize("side", [97, 224])
def test_shapes_are_what_each_layer_gives(architecture, sobel, width, side):
    options = {"sobel": sobel, "input": side, "width": width}
    image = torch.empty(1, 2 if sobel else 3, side, side, device="meta")
    found = []
    for module in unfilled(architecture, **options).eval().convolutions:
        image = module(image)
        # These belong to the convolution before them and change no shape.
        if not isinstance(module, (nn.BatchNorm2d, nn.ReLU)):
            found.append((image.shape[1], image.shape[2]))
            assert image.shape[2] == image.shape[3]
    assert ARCHITECTURES[architecture].shapes(**options) == found


def test_alexnets_shapes_are_the_papers():
    shapes = ARCHITECTURES["alexnet"].shapes(sobel=True, input=224)
    assert shapes == [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)]


@each_architecture
@pytest.mark.parametrize("width", [0.005, 1 / 16, 0.1, 0.3])
def test_features_are_as_many_as_the_network_returns(architecture, width):
    network = small(architecture, width=width).eval()
    with torch.inference_mode():
        out = network(pictures(1, ARCHITECTURES[architecture].least_input))
    assert out.shape == (1, ARCHITECTURES[architecture].features(width))
    assert network.dim == out.shape[1]


@pytest.mark.parametrize(
    ("architecture", "width", "features"),
    [
        ("alexnet", 1.0, 4096),
        ("vgg16", 0.25, 1024),
        ("resnet18", 1.0, 512),
        ("resnet50", 1.0, 2048),
        # 4 times the 153.6 planes of the last stage, which are rounded before.
        ("resnet50", 0.3, 616),
        ("resnet18", 0.01, 16),
        ("resnet50", 0.01, 64),
        ("alexnet", 0.0001, 1),
        ("resnet10", 0.5, 256),
        ("resnet18-cifar", 0.25, 128),
        ("convnet", 0.5, 128),
        ("convnet", 0.01, 16),
    ],
)
def test_features_at_a_width(architecture, width, features):
    assert ARCHITECTURES[architecture].features(width) == features


def test_the_least_inputs():
    least = {name: architecture.least_input for name, architecture in ARCHITECTURES.items()}
    assert least == {
        "alexnet": 63,
        "vgg16": 32,
        "resnet18": 32,
        "resnet50": 32,
        "resnet10": 32,
        "convnet": 8,
        "resnet10-cifar": 8,
        "resnet18-cifar": 8,
    }


@sobel_or_colours
@each_architecture
def test_the_least_input_goes_through_forwards_and_backwards(architecture, sobel):
    least = ARCHITECTURES[architecture].least_input
    network = small(architecture, sobel, input=least).train()
    out = network(pictures(3, least))
    assert out.shape == (3, network.dim)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in trainable(network))
    # A residual layer of the last stage sees one pixel a picture; none is without a value.
    assert out.isfinite().all()


@pytest.mark.parametrize("architecture", PLAIN)
def test_one_pixel_less_than_the_least_input_leaves_nothing(architecture):
    facts = ARCHITECTURES[architecture]
    side = facts.least_input - 1
    with pytest.raises(RuntimeError, match="too small"):
        small(architecture).convolutions.eval()(torch.zeros(1, 2, side, side))
    for refused in (facts.shapes, facts.parameters, lambda **options: Backbone(architecture, **options)):
        with pytest.raises(ValueError, match=r"Pool\(.*\) leaves nothing of a side of \d pixels?"):
            refused(sobel=True, input=side, width=0.0625)


def test_neither_torch_nor_numpy_is_imported():
    code = "import sys, stages.method.architectures; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "stages.method.architectures" in loaded
    assert not {"torch", "numpy", "torchvision"} & set(loaded)
