"""stages/protocols/mlp.py: its layers, first weights and step sizes are RotNet's; it learns what no line can part."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from stages.protocols.accuracy import topk_accuracy
from stages.protocols.mlp import mlp

CPU = torch.device("cpu")


def test_layers_are_those_of_the_nonlinear_classifier():
    head = mlp("pool", 9216, 1000, steps=100, seed=0, device=CPU).heads["pool"]
    kinds = [type(module) for module in head]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [nn.Flatten, *hidden, *hidden, nn.Linear]
    sizes = [
        (module.in_features, module.out_features, module.bias is not None)
        for module in head
        if hasattr(module, "in_features")
    ]
    assert sizes == [(9216, 4096, False), (4096, 4096, False), (4096, 1000, True)]


def test_first_weights_have_the_variance_2_over_outputs():
    head = mlp("pool", 300, 200, steps=100, hidden=400, seed=0, device=CPU).heads["pool"]
    for module, outputs in ((head[1], 400), (head[4], 400), (head[7], 200)):
        weight = module.weight.detach().numpy()
        assert weight.std() == pytest.approx(math.sqrt(2 / outputs), rel=0.02)
        assert weight.mean() == pytest.approx(0, abs=0.002)
    assert head[7].bias.abs().max() == 0


def test_step_sizes_are_rotnets_a_quarter_each():
    learner = mlp("pool", 4, 3, steps=40, hidden=8, seed=0, device=CPU)
    (group,) = learner.sgd.optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-4)
    rates = []
    for _ in range(40):
        rates.append(group["lr"])
        learner.train_step({"pool": torch.randn(4, 4)}, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(rates, np.repeat([0.01, 0.002, 0.0004, 0.00008], 10))


def test_it_learns_what_no_linear_classifier_can():
    """Two features of which the sign of the product is the class; chance where the labels are drawn by lot."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2048, 2)).astype(np.float32)
    classes = (features[:, 0] * features[:, 1] > 0).astype(np.int64)
    for labels, least, most in ((classes, 0.9, 1.0), (rng.permutation(classes), 0.35, 0.65)):
        learner = mlp("pool", 2, 2, steps=64, hidden=64, seed=0, device=CPU)
        for step in range(64):
            rows = slice(step % 16 * 96, step % 16 * 96 + 96)
            learner.train_step({"pool": torch.from_numpy(features[rows])}, labels[rows])
        scores = learner.probabilities({"pool": torch.from_numpy(features[1536:])})["pool"]
        assert least <= topk_accuracy(scores.numpy(), classes[1536:], 1) <= most
