"""stages/method/training.py: a step of SGD against a float64 version of the paper's, and what an epoch starts from."""

import numpy as np
import pytest
import torch
from step_helpers import (
    CPU,
    LABELS,
    MODEL,
    WEIGHT_DECAY,
    batch,
    close,
    cross_entropies,
    momentum_of,
    plain_features,
    plain_sgd,
)

from stages.artifacts.checkpoints import build
from stages.method.networks import initialise
from stages.method.training import Batch, new_learner, train_step


def begin(change=None, optimizer=None, labels=LABELS, seed=0):
    """A learner with initialised weights, as the stage makes it."""
    torch.manual_seed(seed)
    values = {"lr": 0.05, "momentum": 0.9, "weight_decay": WEIGHT_DECAY, "dropout": 0.0} | (change or {})
    network = build(MODEL, values.pop("dropout"))
    learner = new_learner(network, labels, (optimizer or {}).get("state", {}), **values, device=CPU)
    initialise(learner.network, torch.Generator().manual_seed(1))
    return learner


def step_on(learner, pictures, labels, lr, precision="float32", top_lr=None):
    """A step on one view of each picture, with one pseudo-label each."""
    seen = Batch(torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(labels)[:, None])
    return train_step(learner, [seen], lr, precision, top_lr)


def plain_step(pictures, labels, weights, top, momentum, lr, **options):
    """A step on Eq. 1: the mean of -log softmax(g_W(f_theta(x)))_y."""

    def loss_of(weights, top):
        logits = plain_features(pictures, iter(weights)) @ top[0].T + top[1]
        return cross_entropies(logits, labels).mean(), logits

    return plain_sgd(loss_of, weights, top, momentum, lr, **options)


def state_of(learner):
    weights = [p.detach().clone() for p in learner.network.parameters()]
    return weights, [p.detach().clone() for p in learner.top.parameters()]


@pytest.mark.parametrize("carried", [False, True])
def test_steps_equal_a_plain_float64_version(double, carried):
    optimizer = momentum_of(build(MODEL)) if carried else None
    learner = begin(optimizer=optimizer)
    weights, top = state_of(learner)
    if carried:
        momentum = [optimizer["state"][i]["momentum_buffer"].clone() for i in range(len(weights))]
    else:
        momentum = [torch.zeros_like(w) for w in weights]
    for step, lr in enumerate((0.05, 0.05, 0.02)):
        pictures, labels = batch(seed=step)
        weights, top, momentum, loss, logits = plain_step(pictures, labels, weights, top, momentum, lr)
        found, right = step_on(learner, pictures, labels, lr)
        assert float(found) == pytest.approx(float(loss), rel=1e-6)
        assert int(right) == int((logits.argmax(1) == torch.from_numpy(labels)).sum())
        close(learner.network.parameters(), weights)
        close(learner.top.parameters(), top)
        close([learner.optimizer.state[p]["momentum_buffer"] for p in learner.network.parameters()], momentum)


def test_the_comparison_notices_each_part_of_the_step(double):
    """Momentum, weight decay and step size each move the weights by more than the tolerance."""
    pictures, labels = batch()
    weights, top = state_of(begin())
    momentum = [torch.full_like(w, 0.1) for w in weights]
    right = plain_step(pictures, labels, weights, top, momentum, 0.05)
    for wrong in ({"decay": 0.0}, {"mu": 0.8}, {"lr": 0.049}):
        other = plain_step(pictures, labels, weights, top, momentum, **({"lr": 0.05} | wrong))
        with pytest.raises(AssertionError):
            close(other[0], right[0])


def test_float32_steps_are_those_of_float64_but_for_rounding():
    pictures, labels = batch()
    learner = begin()
    weights, top = ([w.double() for w in part] for part in state_of(learner))
    zero = [torch.zeros_like(w) for w in weights]
    torch.set_default_dtype(torch.float64)
    try:
        expected, expected_top, *_ = plain_step(pictures, labels, weights, top, zero, 0.05)
    finally:
        torch.set_default_dtype(torch.float32)
    step_on(learner, pictures, labels, 0.05)
    for found, want in zip([*state_of(learner)[0], *state_of(learner)[1]], [*expected, *expected_top], strict=True):
        torch.testing.assert_close(found.double(), want, rtol=1e-3, atol=1e-5)


def test_batch_statistics_follow_the_pictures_with_a_momentum_of_a_tenth(double):
    learner = begin()
    pictures, labels = batch()
    norm = learner.network.convolutions[1]
    seen = []
    norm.register_forward_hook(lambda module, inputs, _: seen.append(inputs[0].detach().clone()))
    step_on(learner, pictures, labels, 0.05)
    torch.testing.assert_close(norm.running_mean, 0.1 * seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * seen[0].var((0, 2, 3)))


def test_bf16_steps_keep_float32_weights_and_about_the_same_loss():
    pictures, labels = batch()
    exact, rough = begin(), begin()
    loss, _ = step_on(exact, pictures, labels, 0.05)
    found, _ = step_on(rough, pictures, labels, 0.05, precision="bf16")
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())
    assert float(found) == pytest.approx(float(loss), rel=0.01)
    assert not torch.equal(rough.top.weight, exact.top.weight)


def test_a_flipped_view_of_the_pixels_trains_as_its_copy():
    """Augmented pictures come as stacked arrays; memory order must not matter."""
    pictures, labels = batch()
    turned = np.ascontiguousarray(pictures[:, :, ::-1])
    first, second = begin(), begin()
    step_on(first, turned, labels, 0.05)
    step_on(second, np.stack([p[:, ::-1] for p in pictures]), labels, 0.05)
    assert all(torch.equal(a, b) for a, b in zip(state_of(first)[0], state_of(second)[0], strict=True))


def test_dropout_is_that_of_the_parameters():
    def rates(dropout):
        network = begin({"dropout": dropout}).network
        return {module.p for module in network.classifier if isinstance(module, torch.nn.Dropout)}

    assert rates(0.3) == {0.3}
    assert rates(0.0) == {0.0}


def test_the_learner_trains_and_does_not_evaluate():
    assert all(module.training for module in begin().network.modules())


def test_the_top_layer_is_new_each_epoch_while_the_backbones_momentum_is_kept():
    first = begin()
    for step in range(2):
        step_on(first, *batch(seed=step), 0.05)
    kept = first.optimizer.state_dict()
    second = begin(optimizer=kept, labels=4, seed=9)
    third = begin(optimizer=kept, labels=4, seed=10)
    buffers = [first.optimizer.state[p]["momentum_buffer"] for p in first.network.parameters()]
    carried = [second.optimizer.state[p]["momentum_buffer"] for p in second.network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(buffers, carried, strict=True))
    assert any(buffer.abs().max() > 0 for buffer in buffers)
    assert second.top.weight.shape == (4, second.network.dim)
    assert not torch.equal(second.top.weight, third.top.weight)
    # What the first epoch's top layer learned is nowhere in the new one: normal(0, .01) and zero bias.
    assert (second.top.bias == 0).all() and (first.top.bias != 0).any()
    assert 0.007 < float(second.top.weight.detach().std()) < 0.013


def test_a_top_layer_that_is_kept_goes_on_where_there_are_as_many_labels():
    first = begin({"top_momentum": 0.5})
    step_on(first, *batch(), 0.05)
    kept = first.top.state_dict()
    same, fewer = (begin({"top_momentum": 0.5, "kept": kept}, labels=labels, seed=9) for labels in (LABELS, LABELS - 1))
    assert torch.equal(same.top.weight, first.top.weight) and torch.equal(same.top.bias, first.top.bias)
    assert not same.top_optimizer.state
    assert torch.equal(fewer.top.weight, begin(labels=LABELS - 1, seed=9).top.weight)


def test_the_top_layer_has_no_momentum_and_an_optimizer_of_its_own():
    learner = begin()
    assert [group["momentum"] for group in learner.top_optimizer.param_groups] == [0]
    step_on(learner, *batch(), 0.05)
    assert all(not state.get("momentum_buffer") for state in learner.top_optimizer.state.values())
    top = {id(p) for p in learner.top.parameters()}
    backbone = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert not top & backbone
    assert backbone == {id(p) for p in learner.network.parameters()}


def test_the_step_size_and_decay_are_this_epochs_and_not_the_checkpoints():
    kept = momentum_of(build(MODEL))
    learner = begin({"lr": 0.3, "momentum": 0.7, "weight_decay": 0.002}, optimizer=kept)
    for optimizer, momentum in ((learner.optimizer, 0.7), (learner.top_optimizer, 0)):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, momentum, 0.002)
        assert not group["nesterov"] and group["dampening"] == 0


def test_a_saved_learner_goes_on_as_if_it_had_not_stopped():
    whole, stopped = begin(), begin()
    for step in range(2):
        step_on(whole, *batch(seed=step), 0.05)
    step_on(stopped, *batch(seed=0), 0.05)
    resumed = begin(seed=5)
    resumed.load(stopped.state())
    step_on(resumed, *batch(seed=1), 0.05)
    for a, b in zip(whole.state().values(), resumed.state().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_nesterovs_momentum_looks_a_step_ahead():
    """theta - lr (g + m (m v + g)) in place of theta - lr (m v + g), of gradient g, momentum m and its buffer v."""
    before = momentum_of(build(MODEL))["state"]
    buffers = [before[i]["momentum_buffer"] for i in range(len(before))]
    # A momentum of its own for each: a step changes it in place.
    plain, nesterov = (begin(change, momentum_of(build(MODEL))) for change in (None, {"nesterov": True}))
    start = [parameter.detach().clone() for parameter in plain.network.parameters()]
    for learner in (plain, nesterov):
        step_on(learner, *batch(), 0.05)
    for theta, v, one, other in zip(
        start, buffers, plain.network.parameters(), nesterov.network.parameters(), strict=True
    ):
        moved = (theta - one.detach()) / 0.05
        gradient = moved - 0.9 * v
        torch.testing.assert_close(other.detach(), theta - 0.05 * (gradient + 0.9 * moved), rtol=1e-4, atol=1e-5)


def test_features_are_dropped_before_the_top_layer_in_training_alone():
    network = build(MODEL, dropout=0.0, top_dropout=0.5)
    initialise(network, torch.Generator().manual_seed(0))
    images = torch.from_numpy(batch()[0]).permute(0, 3, 1, 2)
    whole = network.eval()(images)
    assert torch.equal(network(images), whole)
    assert torch.equal(whole, network.features(images).relu())
    dropped = network.train()(images)
    share = float((dropped[:, (whole > 0).all(0)] == 0).float().mean())
    assert 0.3 < share < 0.7


def test_the_top_layer_has_a_step_size_and_a_momentum_of_its_own():
    """A step size of 0 leaves the backbone alone; the top layer's second step is lr (m g1 + g2)."""
    learner = begin({"top_momentum": 0.5, "weight_decay": 0.0})
    before = [parameter.detach().clone() for parameter in learner.network.parameters()]
    start, gradients = learner.top.weight.detach().clone(), []
    for _ in range(2):
        step_on(learner, *batch(), 0.0, top_lr=0.2)
        gradients.append(learner.top.weight.grad.clone())
    assert all(map(torch.equal, learner.network.parameters(), before))
    moved = 0.2 * gradients[0] + 0.2 * (0.5 * gradients[0] + gradients[1])
    torch.testing.assert_close(learner.top.weight.detach(), start - moved)


def test_momentum_that_was_kept_in_a_file_lies_in_memory_as_the_weights_do(tmp_path):
    """The fused step of a GPU refuses another layout."""
    first = begin()
    step_on(first, *batch(), 0.05)
    kept = {
        "state": {
            i: {"momentum_buffer": state["momentum_buffer"].contiguous()}
            for i, state in enumerate(first.optimizer.state.values())
        }
    }
    again = begin(optimizer=kept)
    assert any(parameter.stride() != parameter.contiguous().stride() for parameter in again.network.parameters())
    for optimizer in (again.optimizer, loaded(first).optimizer):
        for parameter, state in optimizer.state.items():
            assert state["momentum_buffer"].stride() == parameter.stride()


def loaded(learner):
    """Another learner that went on from what this one saved."""
    state = learner.state()
    for part in ("optimizer", "top_optimizer"):
        for momentum in state[part]["state"].values():
            if momentum["momentum_buffer"] is not None:
                momentum["momentum_buffer"] = momentum["momentum_buffer"].contiguous()
    other = begin()
    other.load(state)
    return other
