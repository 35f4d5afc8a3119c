"""stages/protocols/classification.py: what is drawn anew, what is trained, and the step that trains it."""

import copy
import math

import numpy as np
import pytest
import torch
from network_helpers import pictures, small
from scipy import stats
from torch import nn

from stages.protocols.average_precision import average_precisions
from stages.protocols.classification import Recipe, classifier, crop_scores, multilabel_loss, train_step

CPU = torch.device("cpu")
ALEXNET = {
    "convolutions": [f"backbone.convolutions.{n}" for n in (0, 4, 8, 11, 14)],
    "norms": [f"backbone.convolutions.{n}" for n in (1, 5, 9, 12, 15)],
    "linear": ["backbone.classifier.2", "backbone.classifier.5", "top"],
}


def batch(n, side=64, seed=0):
    return np.ascontiguousarray(pictures(n, side, seed).permute(0, 2, 3, 1).numpy())


def labels_of(n, classes=5, seed=0):
    return np.random.default_rng(seed).choice([0, 1, 255], (n, classes), p=[0.6, 0.3, 0.1]).astype(np.uint8)


def learner_of(architecture="alexnet", recipe=None, classes=5, seed=0, **options):
    backbone = small(architecture, **({"input": 64} | options))
    return classifier(backbone, classes, recipe or Recipe(), seed=seed, device=CPU)


def changed(learner, steps=1):
    """Names of everything in the network that training changes, and of those to which a gradient comes."""
    network = learner.network
    before = copy.deepcopy(network.state_dict())
    for seed in range(steps):
        train_step(learner, batch(8, seed=seed), labels_of(8))
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    reached = {name for name, value in network.named_parameters() if value.grad is not None and value.grad.any()}
    return moved, reached


def both(parts):
    return {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}


@pytest.mark.parametrize("batchnorm", ["affine", "frozen"])
@pytest.mark.parametrize("layers", ["fc6-8", "all"])
@pytest.mark.parametrize("variant", ["pytorch", "caffe"])
def test_training_reaches_exactly_what_the_setting_names(layers, batchnorm, variant):
    expected = both(ALEXNET["linear"])
    expected |= both(ALEXNET["convolutions"]) if layers == "all" else set()
    expected |= both(ALEXNET["norms"]) if batchnorm == "affine" else set()
    # A width at which no unit of the hidden layers is dead for all pictures.
    recipe = Recipe(variant, layers, batchnorm, lr=0.1, weight_decay=0)
    moved, reached = changed(learner_of(recipe=recipe, width=0.25), steps=2)
    assert moved == reached == expected


@pytest.mark.parametrize("architecture", ["vgg16", "resnet18", "resnet50"])
@pytest.mark.parametrize("layers", ["fc6-8", "all"])
@pytest.mark.parametrize("batchnorm", ["affine", "frozen"])
def test_training_reaches_exactly_what_the_setting_names_in_other_networks(architecture, layers, batchnorm):
    recipe = Recipe("pytorch", layers, batchnorm, weight_decay=0)
    learner = learner_of(architecture, recipe)
    kinds = {name: type(module) for name, module in learner.network.named_modules()}
    expected = set()
    for name, _ in learner.network.named_parameters():
        kind = kinds[name.rpartition(".")[0]]
        wanted = {nn.Linear: True, nn.Conv2d: layers == "all", nn.BatchNorm2d: batchnorm == "affine"}
        if wanted[kind]:
            expected.add(name)
    assert {name for name, value in learner.network.named_parameters() if value.requires_grad} == expected
    moved, reached = changed(learner)
    assert moved <= expected and reached <= expected
    # All that is trained but single weights that a narrow network's dead units hide.
    assert len(reached) > 0.9 * len(expected)
    if architecture.startswith("resnet") and (layers, batchnorm) == ("fc6-8", "frozen"):
        assert expected == {"top.weight", "top.bias"}


@pytest.mark.parametrize("layers", ["fc6-8", "all"])
@pytest.mark.parametrize("variant", ["pytorch", "caffe"])
def test_linear_layers_are_new_as_each_variant_draws_them(variant, layers):
    run = small("alexnet", input=64, width=0.1)
    with torch.no_grad():
        for parameter in run.parameters():
            parameter.add_(3)
    kept = copy.deepcopy(run.convolutions.state_dict())
    network = classifier(run, 200, Recipe(variant, layers), seed=0, device=CPU).network
    for name in ALEXNET["linear"]:
        layer = network.get_submodule(name)
        weight = layer.weight.detach().numpy().ravel()
        default = name == "top" and variant == "pytorch"
        bound = 1 / math.sqrt(layer.in_features)
        law = stats.uniform(-bound, 2 * bound) if default else stats.norm(0, 0.01)
        assert stats.kstest(weight, law.cdf).pvalue > 0.001
        assert (layer.bias == 0.1).all()
    assert all(torch.equal(kept[name], value) for name, value in network.backbone.convolutions.state_dict().items())


def test_the_new_layers_follow_the_seed_and_leave_the_global_random_state():
    one, two, other = (learner_of(seed=seed).network.top.weight for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)
    backbone = small("alexnet", input=64)
    state = torch.get_rng_state()
    classifier(backbone, 5, Recipe(), seed=0, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_is_binary_cross_entropy_without_the_difficult():
    logits = np.random.default_rng(0).normal(0, 3, (6, 5))
    labels = labels_of(6)
    p = 1 / (1 + np.exp(-logits))
    each = -np.where(labels == 1, np.log(p), np.log(1 - p))
    expected = each[labels != 255].sum() / 6
    assert float(multilabel_loss(torch.from_numpy(logits), torch.from_numpy(labels))) == pytest.approx(expected)
    everything = torch.full((6, 5), 255, dtype=torch.uint8)
    assert float(multilabel_loss(torch.from_numpy(logits), everything)) == 0


@pytest.mark.parametrize("variant", ["pytorch", "caffe"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_step_clips_all_gradients_together_then_decays_and_moves(variant, scale):
    """Against autograd on a copy, with the update written out; scaled weights make gradients that are too long."""
    recipe = Recipe(variant, "all", lr=0.01, weight_decay=0.05)
    learner = learner_of(recipe=recipe, dropout=0.0, width=0.1)
    with torch.no_grad():
        learner.network.top.weight.mul_(scale)
        learner.network.backbone.classifier[5].weight.mul_(scale)
    model = copy.deepcopy(learner.network).eval()
    loss = multilabel_loss(model(pictures(8, 64)), torch.from_numpy(labels_of(8)))
    loss.backward()
    gradients = {name: value.grad for name, value in model.named_parameters()}
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    assert (norm > 10) == (scale > 1)
    found = train_step(learner, batch(8), labels_of(8))
    assert float(found) == pytest.approx(float(loss.detach()), rel=1e-4)
    for name, value in model.named_parameters():
        lr = 0.02 if variant == "caffe" and name.endswith("bias") else 0.01
        expected = value.detach() - lr * (gradients[name] * min(1, 10 / norm) + 0.05 * value.detach())
        moved = learner.network.get_parameter(name).detach()
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("variant", ["pytorch", "caffe"])
def test_step_sizes_are_halved_and_biases_have_twice_as_much_in_caffe(variant):
    learner = learner_of(recipe=Recipe(variant, lr=0.4, step=2))
    rates = []
    for step in range(5):
        rates.append([group["lr"] for group in learner.sgd.optimizer.param_groups])
        train_step(learner, batch(2, seed=step), labels_of(2))
    factor = 2 if variant == "caffe" else 1
    assert rates == [pytest.approx([lr, factor * lr]) for lr in (0.4, 0.4, 0.2, 0.2, 0.1)]
    sizes = [{parameter.ndim for parameter in group["params"]} for group in learner.sgd.optimizer.param_groups]
    assert sizes == [{1, 2}, {1}]
    assert all(group["momentum"] == 0.9 for group in learner.sgd.optimizer.param_groups)


def test_dropout_is_on_in_training_and_off_in_testing():
    losses = []
    for seed in (0, 1, 1):
        learner = learner_of(width=0.25)
        torch.manual_seed(seed)
        losses.append(float(train_step(learner, batch(8), labels_of(8))))
    assert losses[0] != losses[1] == losses[2]
    scores = [crop_scores(learner.network, batch(4), 2) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_training_goes_on_after_a_stop_as_if_there_had_been_none(tmp_path):
    def train(learner, start, stop):
        return [float(train_step(learner, batch(4, seed=step), labels_of(4, seed=step))) for step in range(start, stop)]

    recipe = Recipe(lr=0.05, step=3)
    torch.manual_seed(0)
    whole = learner_of(recipe=recipe)
    expected = train(whole, 0, 8)
    torch.manual_seed(0)
    first = learner_of(recipe=recipe)
    train(first, 0, 4)
    torch.save([first.state(), torch.get_rng_state()], tmp_path / "state.pt")
    torch.manual_seed(99)
    second = learner_of(recipe=recipe, seed=9)
    state, random = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load(state)
    torch.set_rng_state(random)
    assert second.sgd.steps == 4
    assert train(second, 4, 8) == expected[4:]
    assert all(map(torch.equal, whole.network.state_dict().values(), second.network.state_dict().values()))


def test_scores_are_sums_of_the_crops_logits():
    network = learner_of().network
    crops = batch(6)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(crops).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(crop_scores(network, crops, 3), logits.reshape(2, 3, 5).sum(1), rtol=1e-5)


def striped(n, seed):
    """Pictures with vertical stripes, a bright border, both or neither; these are the two classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, 2)).astype(np.uint8)
    images = rng.integers(0, 60, (n, 64, 64, 3)).astype(np.uint8)
    for image, (stripes, border) in zip(images, labels, strict=True):
        if stripes:
            image[8:56, 8:56] += (np.arange(48) // 4 % 2 * 120).astype(np.uint8)[None, :, None]
        if border:
            image[:6] += 120
            image[-6:] += 120
    return images, labels


@pytest.mark.parametrize("architecture", ["alexnet", "resnet18"])
def test_it_learns_two_classes_at_once(architecture):
    """Each by its own label: where the columns are swapped, it learns the other, and knows nothing of the first."""
    train, given = striped(96, 0)
    test, truth = striped(96, 1)
    for order in ([0, 1], [1, 0]):
        torch.manual_seed(0)
        learner = learner_of(architecture, Recipe(lr=0.03, step=60), classes=2, width=0.25)
        for step in range(90):
            rows = slice(step % 6 * 16, step % 6 * 16 + 16)
            train_step(learner, train[rows], np.ascontiguousarray(given[rows][:, order]))
        scores = crop_scores(learner.network, test, 1)
        assert average_precisions(scores, truth[:, order]).mean_area > 0.95
        assert average_precisions(scores, truth[:, order[::-1]]).mean_area < 0.85
