"""stages/method/foreign.py: weights of others give our network the features that they give their own."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
import torchvision
from foreign_helpers import of_torchvision, released, released_features, torchvision_features
from network_helpers import pictures, small
from stage_helpers import refused

from stages.method.architectures import ARCHITECTURES
from stages.method.foreign import TORCHVISION, Facts, for_torchvision, from_foreign, from_ours
from stages.method.networks import Backbone

OF_TORCHVISION = {theirs: ours for ours, theirs in TORCHVISION.items()}


def backbone(facts: Facts, state: dict[str, torch.Tensor]) -> Backbone:
    network = Backbone(**asdict(facts))
    network.load_state_dict(state)
    return network.eval()


def ours(facts: Facts, state: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return backbone(facts, state).features(batch)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 1e-3, "a network whose features are all alike proves nothing"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("architecture", "sobel"), [("alexnet", True), ("alexnet", False), ("vgg16", True)])
def test_the_authors_networks_give_their_features(architecture, sobel):
    network, batch = released(architecture, sobel), pictures(2, 224)
    facts, state = from_foreign(network.state_dict())
    assert facts == Facts(architecture, sobel, 224, 1.0)
    same(ours(facts, state, batch), released_features(network, batch))


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_torchvisions_networks_give_their_features_there_and_back(name):
    network, batch = of_torchvision(name), pictures(2, 224)
    expected = torchvision_features(network, batch)
    facts, state = from_foreign(network.state_dict())
    assert facts == Facts(OF_TORCHVISION[name], False, 224, 1.0)
    same(ours(facts, state, batch), expected)
    with torch.device("meta"):
        other = torchvision.models.get_model(name)
    missing, unexpected = other.load_state_dict(for_torchvision(facts, state), strict=False, assign=True)
    top = "fc" if name.startswith("resnet") else "classifier.6"
    assert (sorted(missing), unexpected) == ([f"{top}.bias", f"{top}.weight"], [])
    assert torch.equal(torchvision_features(other.eval(), batch), expected)


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    return of_torchvision("resnet18").state_dict()


@pytest.fixture(scope="module")
def alexnet() -> dict[str, torch.Tensor]:
    return released("alexnet", sobel=True).state_dict()


@pytest.mark.parametrize("wrapped", ["module.{}", "{}"])
def test_names_within_a_parallel_network_are_the_same(resnet, wrapped):
    facts, state = from_foreign({wrapped.format(name): value for name, value in resnet.items()})
    assert facts.architecture == "resnet18"
    assert torch.equal(state["convolutions.0.weight"], resnet["conv1.weight"])


def test_counters_may_be_missing_and_halves_become_floats(resnet):
    old = {name: value.half() for name, value in resnet.items() if "num_batches" not in name}
    facts, state = from_foreign(old)
    backbone(facts, state)
    assert state["convolutions.1.num_batches_tracked"] == 0
    assert {value.dtype for name, value in state.items() if "num_batches" not in name} == {torch.float32}


def test_the_second_group_of_resnet50_is_our_seventh_module():
    with torch.device("meta"):
        theirs = torchvision.models.resnet50().state_dict()
    facts = Facts("resnet50", False, 224, 1.0)
    names = for_torchvision(facts, dict.fromkeys(facts.shapes()))
    assert list(names) == [name for name in theirs if not name.startswith("fc.")], "in the same order"
    assert len(theirs) == 320 and "layer2.0.conv1.weight" in names


REFUSED = {
    "an unknown name": (
        {"layer1.5.bias": torch.zeros(1)},
        "",
        "no resnet18 as it is known here: layer1.5.bias",
    ),
    "a missing name": ({}, "layer1.0.conv1.weight", "layer1.0.conv1.weight missing"),
    "another shape": ({"conv1.weight": torch.zeros(64, 2, 7, 7)}, "", "conv1.weight has shape (64, 2, 7, 7) instead"),
    "a value that is none": ({"bn1.bias": torch.full((64,), torch.nan)}, "", "not finite: bn1.bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_name_shape_and_value_is_accounted_for(resnet, case):
    more, less, expected = REFUSED[case]
    state = {name: value for name, value in (resnet | more).items() if name != less}
    assert expected in refused(lambda: from_foreign(state))


def test_other_sobel_filters_are_refused_and_none_are_taken_for_ours(alexnet):
    turned = alexnet | {"sobel.1.weight": alexnet["sobel.1.weight"].flip(0)}
    assert "sobel.1.weight is not that of the fixed Sobel filters" in refused(lambda: from_foreign(turned))
    without = {name: value for name, value in alexnet.items() if not name.startswith("sobel.")}
    assert from_foreign(without)[0].sobel
    part = {name: value for name, value in alexnet.items() if name != "sobel.1.bias"}
    assert "sobel.1.bias missing" in refused(lambda: from_foreign(part))


OTHERS = ["alexnet", "vgg16", "vgg19_bn", "resnet34", "resnet101", "wide_resnet50_2", "densenet121"]


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_of_torchvision_are_refused(name):
    with torch.device("meta"):
        state = torchvision.models.get_model(name).state_dict()
    line = refused(lambda: from_foreign(state))
    expected = {"alexnet": "no batch normalisation", "vgg16": "no batch normalisation"}
    assert expected.get(name, "it is no ") in line or "no network that is known" in line


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_our_own_names_are_checked_too(architecture):
    network = small(architecture)
    facts = Facts(architecture, True, ARCHITECTURES[architecture].least_input, 1 / 16)
    state = from_ours(facts, network.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert "has shape" in refused(lambda: from_ours(Facts(architecture, False, facts.input, 1 / 16), state))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (Facts("alexnet", False, 224, 1.0), "torchvision has no such network: alexnet of three colours"),
        (Facts("resnet18", True, 224, 1.0), "torchvision has no such network: resnet18 of Sobel filters"),
        (Facts("resnet18", False, 224, 0.5), "width 0.5"),
        (Facts("vgg16", False, 64, 1.0), "for pictures of 224 pixels, and this network for 64"),
    ],
)
def test_torchvision_has_no_other(facts, why):
    assert why in refused(lambda: for_torchvision(facts, {}))


def test_a_residual_network_fits_torchvision_at_any_input(resnet):
    _, state = from_foreign(resnet)
    assert "conv1.weight" in for_torchvision(Facts("resnet18", False, 96, 1.0), state)
