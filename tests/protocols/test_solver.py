"""stages/protocols/solver.py: SGD against the equations in numpy, and a learner that was stopped."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.protocols.solver import Learner, Solver, seeded

CPU = torch.device("cpu")


def learner(solver, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    model[0].weight.requires_grad_(False)
    return Learner(model, solver, CPU)


def descend(it, update):
    x = torch.from_numpy(np.random.default_rng(update).normal(size=(5, 3)))
    (it.model(x) ** 2).mean().backward()
    it.update()


def test_weights_decay_and_biases_move_twice_as_far_without_decay():
    solver = Solver(lr=0.1, step=2, gamma=0.1, weight_decay=0.05, bias_lr=2)
    it = learner(solver)
    values = {name: value.detach().numpy().copy() for name, value in it.model.named_parameters()}
    moves = dict.fromkeys(values, 0.0)
    for update in range(5):
        x = np.random.default_rng(update).normal(size=(5, 3))
        hidden = x @ values["0.weight"].T + values["0.bias"]
        out = hidden @ values["1.weight"].T + values["1.bias"]
        slope = 2 * out / out.size
        gradients = {
            "0.bias": (slope @ values["1.weight"]).sum(0),
            "1.weight": slope.T @ hidden,
            "1.bias": slope.sum(0),
        }
        lr = 0.1 * 0.1 ** (update // 2)
        for name, gradient in gradients.items():
            bias = name.endswith("bias")
            moves[name] = 0.9 * moves[name] + gradient + (0 if bias else 0.05 * values[name])
            values[name] = values[name] - lr * (2 if bias else 1) * moves[name]
        descend(it, update)
        for name, value in it.model.named_parameters():
            np.testing.assert_allclose(value.detach().numpy(), values[name], rtol=1e-10)
    assert it.updates == 5


def test_the_step_size_of_detection_falls_once_in_40000_updates_and_that_of_segmentation_never():
    detection = Solver(lr=0.001, step=30000)
    assert [detection.factor(u) for u in (0, 29999)] == [1, 1]
    assert [detection.factor(u) for u in (30000, 39999)] == pytest.approx([0.1, 0.1])
    assert Solver(lr=1e-4).factor(99999) == 1
    colorization = Solver(lr=1e-4, step=50000)
    assert [colorization.factor(u) for u in (49999, 50000, 149999)] == pytest.approx([1, 0.1, 0.01])


def test_a_stopped_learner_goes_on_as_if_it_had_not_stopped():
    solver = Solver(lr=0.1, step=3)
    whole, stopped, resumed = learner(solver), learner(solver), learner(solver, seed=9)
    for update in range(5):
        descend(whole, update)
    for update in range(2):
        descend(stopped, update)
    resumed.load(stopped.state())
    for update in range(2, 5):
        descend(resumed, update)
    torch.testing.assert_close(whole.state(), resumed.state(), rtol=0, atol=0)


def test_dropout_follows_the_generator_and_leaves_torchs_state_alone():
    before = torch.random.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with seeded(np.random.default_rng(seed), CPU):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(before, torch.random.get_rng_state())
