"""stages/protocols/heads.py: heads learn apart from each other, go on after a stop, and start as PyTorch's."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from stages.protocols.heads import HeadLearner, linear
from stages.protocols.sgd import Group, ScheduledSGD

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, (20, 16))
MAPS = {
    name: torch.from_numpy(RNG.normal(size=(20, 16, values)).astype(np.float32))
    for name, values in (("conv1", 8), ("conv2", 5), ("unused", 1))
}


def heads_of(*names, seed=0):
    heads, groups = {}, []
    for name in names:
        heads[name] = linear(MAPS[name].shape[2], 3, torch.Generator().manual_seed(seed))
        groups.append(Group([*heads[name].parameters()], 0.1, 0.01, partial(pow, 0.9)))
    return HeadLearner(nn.ModuleDict(heads), ScheduledSGD(groups))


def train(heads, start=0, stop=20):
    found = [heads.train_step({name: m[i] for name, m in MAPS.items()}, LABELS[i]) for i in range(start, stop)]
    return [{name: (float(loss), int(right)) for name, (loss, right) in step.items()} for step in found]


def test_a_step_is_sgd_on_the_mean_cross_entropy_written_out():
    """Momentum 0.9, l2 penalty in the gradient, step size 0.1 * 0.9^t, in float64 numpy."""
    heads = heads_of("conv1")
    weight = heads.heads["conv1"].weight.detach().numpy().astype(np.float64).T
    bias = heads.heads["conv1"].bias.detach().numpy().astype(np.float64)
    speeds = [np.zeros_like(weight), np.zeros_like(bias)]
    results = train(heads, stop=10)
    for step in range(10):
        x, y = MAPS["conv1"][step].numpy().astype(np.float64), LABELS[step]
        logits = x @ weight + bias
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        loss, right = results[step]["conv1"]
        assert loss == pytest.approx(-np.log(p[np.arange(16), y]).mean(), rel=1e-4)
        assert right == (logits.argmax(1) == y).sum()
        error = (p - np.eye(3)[y]) / 16
        for value, gradient, speed in ((weight, x.T @ error, speeds[0]), (bias, error.sum(0), speeds[1])):
            speed *= 0.9
            speed += gradient + 0.01 * value
            value -= 0.1 * 0.9**step * speed
    np.testing.assert_allclose(heads.heads["conv1"].weight.detach().numpy(), weight.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(heads.heads["conv1"].bias.detach().numpy(), bias, rtol=1e-4, atol=1e-6)
    assert heads.sgd.steps == 10


def test_a_head_learns_the_same_whichever_others_there_are():
    both, alone = heads_of("conv1", "conv2"), heads_of("conv2")
    assert [step["conv2"] for step in train(both)] == [step["conv2"] for step in train(alone)]
    for a, b in zip(both.heads["conv2"].parameters(), alone.heads["conv2"].parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_goes_on_after_a_stop_as_if_there_had_been_none(tmp_path):
    whole = heads_of("conv1", "conv2")
    expected = train(whole)
    first = heads_of("conv1", "conv2")
    train(first, stop=7)
    torch.save(first.state(), tmp_path / "state.pt")
    second = heads_of("conv1", "conv2", seed=5)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.sgd.steps == 7
    assert train(second, start=7) == expected[7:]
    for a, b in zip(whole.heads.parameters(), second.heads.parameters(), strict=True):
        assert torch.equal(a, b)


def test_probabilities_are_of_the_trained_head_and_averaged_over_crops():
    heads = heads_of("conv1")
    head, x = heads.heads["conv1"], MAPS["conv1"][0]
    found = heads.probabilities({"conv1": x}, crops=4)["conv1"]
    expected = head(x).softmax(1).reshape(4, 4, 3).mean(1)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(found.sum(1), torch.ones(4))


def test_probabilities_do_not_change_a_batch_normalisation():
    norm = nn.BatchNorm1d(8, affine=False, momentum=None)
    heads = heads_of("conv1")
    heads.heads["conv1"] = nn.Sequential(norm, heads.heads["conv1"])
    train(heads, stop=3)
    before = copy.deepcopy(norm.state_dict())
    one, all_ = (heads.probabilities({"conv1": MAPS["conv1"][0][:n]})["conv1"] for n in (1, 16))
    torch.testing.assert_close(one[0], all_[0])
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    assert before["num_batches_tracked"] == 3


def test_a_linear_layer_starts_as_pytorchs_does():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    theirs, ours = nn.Linear(400, 300), linear(400, 300, generator)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        a, b = a.detach().numpy().ravel(), b.detach().numpy().ravel()
        assert stats.ks_2samp(a, b).pvalue > 0.001
        assert abs(a).max() <= 1 / math.sqrt(400)
    assert torch.equal(linear(400, 300, torch.Generator().manual_seed(0)).weight, ours.weight)


def test_drawing_a_linear_layer_leaves_the_global_random_state():
    state = torch.get_rng_state()
    linear(40, 30, torch.Generator().manual_seed(0))
    assert torch.equal(state, torch.get_rng_state())
