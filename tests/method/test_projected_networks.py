"""stages/method/networks.py: the projection of DeepCluster-v2 on top of a network."""

import pytest
import torch
from network_helpers import count, pictures, small
from torch import nn
from torch.nn import functional as F

from stages.method.networks import Projection, fold
from stages.method.training import place

HIDDEN, DIM = 24, 6
SIDE = {"alexnet": 64, "resnet10-cifar": 16}


def projected(architecture, **options):
    return small(architecture, input=SIDE[architecture], projection=(HIDDEN, DIM), **options)


def some(architecture, n=5):
    return pictures(n, SIDE[architecture])


@pytest.mark.parametrize("architecture", SIDE)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_projection_gives_unit_vectors(architecture, mode):
    network = getattr(projected(architecture), mode)()
    found = network.features(some(architecture))
    assert found.shape == (5, network.dim) == (5, DIM)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("architecture", SIDE)
def test_features_that_are_clustered_are_those_that_meet_the_centroids(architecture):
    network = projected(architecture, top_dropout=0.5).eval()
    images = some(architecture)
    with torch.inference_mode():
        assert torch.equal(network(images), network.features(images))


@pytest.mark.parametrize("architecture", SIDE)
def test_a_projection_stands_on_the_features_after_their_last_relu(architecture):
    network = projected(architecture).eval()
    plain = small(architecture, input=SIDE[architecture]).eval()
    missing = plain.load_state_dict(network.state_dict(), strict=False)
    assert missing.missing_keys == []
    images = some(architecture)
    with torch.inference_mode():
        hidden = plain(images)
        assert (hidden >= 0).all() and (hidden > 0).any()
        x = F.linear(hidden, network.projection[0].weight, network.projection[0].bias)
        norm = network.projection[1]
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
        x = F.linear(x, network.projection[3].weight, network.projection[3].bias)
        torch.testing.assert_close(network.features(images), x / x.norm(dim=1, keepdim=True))


def test_features_are_dropped_before_the_projection_in_training_alone():
    network = projected("alexnet", top_dropout=0.5, dropout=0.0)
    seen = []
    network.projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach() == 0))
    for training in (False, True):
        network.train(training)(some("alexnet"))
    # Of those that the last ReLU has left.
    dropped = (seen[1] & ~seen[0]).sum() / (~seen[0]).sum()
    assert 0.3 < float(dropped) < 0.7


def test_a_projection_adds_the_parameters_of_its_layers():
    plain, network = small("resnet10-cifar"), projected("resnet10-cifar")
    added = plain.dim * HIDDEN + HIDDEN + 2 * HIDDEN + HIDDEN * DIM + DIM
    assert count(network) - count(plain) == added
    assert plain.projection is None


def test_a_network_folded_for_features_gives_the_same_projection():
    network = projected("resnet10-cifar")
    images = some("resnet10-cifar")
    network.train()(images)
    with torch.inference_mode():
        before = network.eval().features(images)
        folded = fold(place(network, torch.device("cpu")))
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded.features(images), before, rtol=1e-4, atol=1e-5)


def test_unit_vectors_are_float32_where_layers_compute_in_bfloat16():
    projection = Projection(10, HIDDEN, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        found = projection(torch.randn(4, 10, generator=torch.Generator().manual_seed(0)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
