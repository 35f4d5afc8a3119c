"""stages/method/training.py: a step of SGD against a float64 version of the paper's, and what an epoch starts from."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.artifacts.checkpoints import build
from stages.method.networks import initialise
from stages.method.training import new_learner, train_step
from stages.parameters.model import ModelParams

MODEL = ModelParams(architecture="alexnet", sobel=True, input=64, width=1 / 16)
LABELS = 7
CPU = torch.device("cpu")


# Large, so that leaving it out could not hide in rounding.
WEIGHT_DECAY = 0.01


@pytest.fixture
def double():
    """Everything but the loss in float64, so that a difference is a wrong formula and not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def momentum_of(network, seed=0):
    """The state of an SGD in mid-run: a buffer for each parameter, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    buffers = [0.1 * torch.randn(p.shape, generator=generator) for p in network.parameters()]
    return {
        "state": {i: {"momentum_buffer": buffer} for i, buffer in enumerate(buffers)},
        "param_groups": [{"lr": 99.0, "momentum": 0.1, "weight_decay": 7.0, "params": list(range(len(buffers)))}],
    }


def begin(change=None, optimizer=None, labels=LABELS, seed=0):
    """A learner with initialised weights, as the stage makes it."""
    torch.manual_seed(seed)
    values = {"lr": 0.05, "momentum": 0.9, "weight_decay": WEIGHT_DECAY, "dropout": 0.0} | (change or {})
    network = build(MODEL, values.pop("dropout"))
    learner = new_learner(network, labels, (optimizer or {}).get("state", {}), **values, device=CPU)
    initialise(learner.network, torch.Generator().manual_seed(1))
    return learner


def batch(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8), rng.integers(0, LABELS, n)


def plain_loss(pictures, labels, weights, top):
    """Eq. 1 of REFERENCE.md's AlexNet with Sobel: the mean of -log softmax(g_W(f_theta(x)))_y."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = (torch.from_numpy(pictures.astype(np.float64) / 255) - mean) / std
    x = colour.mean(3)[:, None]
    kernels = torch.tensor([[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]])
    x = F.conv2d(x, kernels[:, None], padding=1)
    weights = iter(weights)
    for stride, padding, pooled in ((4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)):
        x = F.conv2d(x, next(weights), next(weights), stride, padding)
        centred = x - x.mean((0, 2, 3), keepdim=True)
        x = centred / ((centred**2).mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
        x = (x * next(weights)[:, None, None] + next(weights)[:, None, None]).clamp(min=0)
        if pooled:
            x = F.max_pool2d(x, 3, 2)
    x = x.flatten(1)
    for _ in range(2):
        x = (x @ next(weights).T + next(weights)).clamp(min=0)
    logits = x @ top[0].T + top[1]
    right = logits[torch.arange(len(labels)), torch.from_numpy(labels)]
    return (torch.logsumexp(logits, 1) - right).mean(), logits


def plain_step(pictures, labels, weights, top, momentum, lr, decay=0.01, mu=0.9):
    """v <- mu v + (gradient + decay theta), theta <- theta - lr v; the top layer has no v."""
    leaves = [w.detach().clone().requires_grad_() for w in [*weights, *top]]
    loss, logits = plain_loss(pictures, labels, leaves[: len(weights)], leaves[len(weights) :])
    gradients = torch.autograd.grad(loss, leaves)
    new, buffers = [], []
    for i, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        move = gradient + decay * leaf.detach()
        if i < len(weights):
            move = mu * momentum[i] + move
            buffers.append(move)
        new.append(leaf.detach() - lr * move)
    return new[: len(weights)], new[len(weights) :], buffers, loss.detach(), logits.detach()


def state_of(learner):
    weights = [p.detach().clone() for p in learner.network.parameters()]
    return weights, [p.detach().clone() for p in learner.top.parameters()]


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        # The loss alone is float32, so gradients agree to about 1e-7 of it.
        torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=1e-7)


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
        found, right = train_step(learner, pictures, labels, lr, "float32")
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
    train_step(learner, pictures, labels, 0.05, "float32")
    for found, want in zip([*state_of(learner)[0], *state_of(learner)[1]], [*expected, *expected_top], strict=True):
        torch.testing.assert_close(found.double(), want, rtol=1e-3, atol=1e-5)


def test_batch_statistics_follow_the_pictures_with_a_momentum_of_a_tenth(double):
    learner = begin()
    pictures, labels = batch()
    norm = learner.network.convolutions[1]
    seen = []
    norm.register_forward_hook(lambda module, inputs, _: seen.append(inputs[0].detach().clone()))
    train_step(learner, pictures, labels, 0.05, "float32")
    torch.testing.assert_close(norm.running_mean, 0.1 * seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * seen[0].var((0, 2, 3)))


def test_bf16_steps_keep_float32_weights_and_about_the_same_loss():
    pictures, labels = batch()
    exact, rough = begin(), begin()
    loss, _ = train_step(exact, pictures, labels, 0.05, "float32")
    found, _ = train_step(rough, pictures, labels, 0.05, "bf16")
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())
    assert float(found) == pytest.approx(float(loss), rel=0.01)
    assert not torch.equal(rough.top.weight, exact.top.weight)


def test_a_flipped_view_of_the_pixels_trains_as_its_copy():
    """Augmented pictures come as stacked arrays; memory order must not matter."""
    pictures, labels = batch()
    turned = np.ascontiguousarray(pictures[:, :, ::-1])
    first, second = begin(), begin()
    train_step(first, turned, labels, 0.05, "float32")
    train_step(second, np.stack([p[:, ::-1] for p in pictures]), labels, 0.05, "float32")
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
        train_step(first, *batch(seed=step), 0.05, "float32")
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


def test_the_top_layer_has_no_momentum_and_an_optimizer_of_its_own():
    learner = begin()
    assert [group["momentum"] for group in learner.top_optimizer.param_groups] == [0]
    train_step(learner, *batch(), 0.05, "float32")
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
        train_step(whole, *batch(seed=step), 0.05, "float32")
    train_step(stopped, *batch(seed=0), 0.05, "float32")
    resumed = begin(seed=5)
    resumed.load(stopped.state())
    train_step(resumed, *batch(seed=1), 0.05, "float32")
    for a, b in zip(whole.state().values(), resumed.state().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_step_sees_the_batch_as_it_was_changed():
    pictures, labels = batch()
    changed = np.ascontiguousarray(255 - pictures)
    plain, inverted, given = begin(), begin(), begin()
    loss = train_step(plain, pictures, labels, 0.05, "float32")[0]
    expected = train_step(inverted, changed, labels, 0.05, "float32")[0]
    found = train_step(given, pictures, labels, 0.05, "float32", lambda images: 255 - images)[0]
    assert found == expected != loss


def test_nesterovs_momentum_looks_a_step_ahead():
    """theta - lr (g + m (m v + g)) in place of theta - lr (m v + g), of gradient g, momentum m and its buffer v."""
    before = momentum_of(build(MODEL))["state"]
    buffers = [before[i]["momentum_buffer"] for i in range(len(before))]
    # A momentum of its own for each: a step changes it in place.
    plain, nesterov = (begin(change, momentum_of(build(MODEL))) for change in (None, {"nesterov": True}))
    start = [parameter.detach().clone() for parameter in plain.network.parameters()]
    for learner in (plain, nesterov):
        train_step(learner, *batch(), 0.05, "float32")
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
        train_step(learner, *batch(), 0.0, "float32", None, 0.2)
        gradients.append(learner.top.weight.grad.clone())
    assert all(map(torch.equal, learner.network.parameters(), before))
    moved = 0.2 * gradients[0] + 0.2 * (0.5 * gradients[0] + gradients[1])
    torch.testing.assert_close(learner.top.weight.detach(), start - moved)
