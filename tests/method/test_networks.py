"""stages/method/networks.py: the convnets: the paper's shapes and counts, and torchvision's."""

import pytest
import torch
import torchvision
from network_helpers import count, pictures, small
from torch import nn

from stages.errors import Refusal
from stages.method.networks import Backbone

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


def test_width_scales_the_channels_of_every_layer():
    network = Backbone("alexnet", sobel=True, input=224, width=0.25)
    weights = [module.weight.shape[0] for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert weights == [24, 64, 96, 96, 64, 1024, 1024]
    for architecture in ("resnet18", "resnet50"):
        whole = Backbone(architecture, sobel=False, input=32)
        half = Backbone(architecture, sobel=False, input=32, width=0.5)
        for a, b in zip(whole.parameters(), half.parameters(), strict=True):
            assert a.shape[0] == 2 * b.shape[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_pixels_that_are_no_bytes_are_refused_with_what_makes_bytes_of_them(dtype):
    network = Backbone("alexnet", sobel=True, input=64, width=0.0625).eval()
    images = torch.rand(2, 3, 64, 64)
    for use in (network.features, network):
        with pytest.raises(Refusal, match="takes bytes") as refused:
            use(images.to(dtype))
        assert str(dtype) in str(refused.value)
    advised = str(refused.value).split("`")[1]
    assert network.features(eval(advised, {"images": images, "torch": torch})).shape == (2, network.dim)
