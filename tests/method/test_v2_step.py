"""stages/method/training.py: a step of DeepCluster-v2 against its equations written out in float64."""

import numpy as np
import pytest
import torch
from network_helpers import small
from step_helpers import (
    CPU,
    MODEL,
    WEIGHT_DECAY,
    batch,
    close,
    cross_entropies,
    momentum_of,
    normalised,
    plain_features,
    plain_sgd,
)
from torch.nn import functional as F

from stages.artifacts.checkpoints import build
from stages.method.networks import Centroids, initialise
from stages.method.training import Batch, new_learner, train_step
from stages.parameters.model import ProjectionParams

HIDDEN, DIM = 12, 6
K = (5, 3)
"""Clusters of each clustering."""
TEMPERATURE = 0.2
NEAR = {"atol": 1e-9}
PROJECTED = MODEL.model_copy(update={"projection": ProjectionParams(hidden=HIDDEN, dim=DIM)})


@pytest.fixture
def all_double(double, monkeypatch):
    """The loss too, whose float32 rounding is blown up by batch normalisation of few views."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def centroids(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(k, DIM, generator=generator)) for k in K]


def begin(optimizer=None, network=None, **change):
    values = {"lr": 0.05, "momentum": 0.9, "weight_decay": WEIGHT_DECAY, "temperature": TEMPERATURE} | change
    network = network or build(PROJECTED, 0.0)
    learner = new_learner(network, centroids(), (optimizer or {}).get("state", {}), **values, device=CPU)
    initialise(learner.network, torch.Generator().manual_seed(1))
    return learner


def views(n, seed=0):
    """A batch of n views with a label of each clustering."""
    rng = np.random.default_rng(seed + 100)
    labels = torch.from_numpy(np.stack([rng.integers(0, k, n) for k in K], axis=1))
    return Batch(torch.from_numpy(batch(n, seed)[0]).permute(0, 3, 1, 2), labels)


def plain_logits(pictures, weights):
    """Cosines to the centroids of each clustering, divided by the temperature."""
    weights = iter(weights)
    x = plain_features(pictures, weights) @ next(weights).T + next(weights)
    x = normalised(x, 0, next(weights), next(weights)).clamp(min=0)
    x = x @ next(weights).T + next(weights)
    x = x / (x**2).sum(1, keepdim=True).sqrt()
    return [x @ rows.T / TEMPERATURE for rows in centroids()]


def plain_step(batches, weights, momentum, lr, **options):
    """The mean of -log softmax over all views of all batches and both clusterings; batches have statistics apart."""

    def loss_of(weights, _):
        losses, first = [], None
        for views in batches:
            logits = plain_logits(views.pictures.permute(0, 2, 3, 1).numpy(), weights)
            first = logits[0] if first is None else first
            losses += [cross_entropies(each, views.labels[:, head].numpy()) for head, each in enumerate(logits)]
        return torch.cat(losses).mean(), first

    new, _, buffers, loss, logits = plain_sgd(loss_of, weights, [], momentum, lr, **options)
    return new, buffers, loss, logits


def weights_of(learner):
    return [p.detach().clone() for p in learner.network.parameters()]


@pytest.mark.parametrize("carried", [False, True])
def test_steps_on_views_of_two_batches_equal_the_equations_in_float64(all_double, carried):
    optimizer = momentum_of(build(PROJECTED)) if carried else None
    learner = begin(optimizer)
    weights = weights_of(learner)
    momentum = [torch.zeros_like(w) for w in weights]
    if carried:
        momentum = [optimizer["state"][i]["momentum_buffer"].clone() for i in range(len(weights))]
    for step, lr in enumerate((0.05, 0.02)):
        batches = [views(6, seed=step), views(4, seed=step + 10)]
        weights, momentum, loss, logits = plain_step(batches, weights, momentum, lr)
        found, right = train_step(learner, batches, lr, "float32")
        assert float(found) == pytest.approx(float(loss), rel=1e-12)
        assert int(right) == int((logits.argmax(1) == batches[0].labels[:, 0]).sum())
        close(learner.network.parameters(), weights, **NEAR)
        close([learner.optimizer.state[p]["momentum_buffer"] for p in learner.network.parameters()], momentum, **NEAR)


def test_the_comparison_notices_each_part_of_the_step(all_double):
    batches = [views(6), views(4, seed=10)]
    weights = weights_of(begin())
    momentum = [torch.full_like(w, 0.1) for w in weights]
    right = plain_step(batches, weights, momentum, 0.05)[0]
    relabelled = [Batch(each.pictures, each.labels[:, [0, 0]] % min(K)) for each in batches]
    for wrong, options in (
        (batches, {"decay": 0.0}),
        (batches, {"mu": 0.8}),
        (batches[:1], {}),
        (batches[::-1][:1] * 2, {}),
        (relabelled, {}),
    ):
        other = plain_step(wrong, weights, momentum, 0.05, **options)[0]
        with pytest.raises(AssertionError):
            close(other, right, **NEAR)


def test_the_centroids_stay_and_have_no_optimizer():
    learner = begin()
    train_step(learner, [views(6)], 0.05, "float32", 0.5)
    assert learner.top_optimizer is None
    assert list(learner.top.parameters()) == []
    assert all(map(torch.equal, learner.top.buffers(), centroids()))


def test_logits_are_cosines_over_the_temperature():
    rows = centroids()
    features = F.normalize(torch.randn(4, DIM, generator=torch.Generator().manual_seed(3)))
    found = Centroids(rows, 0.1)(features)
    assert [tuple(each.shape) for each in found] == [(4, k) for k in K]
    for each, wanted in zip(found, rows, strict=True):
        cosines = F.cosine_similarity(features[:, None], wanted[None], dim=2)
        torch.testing.assert_close(each, cosines / 0.1, rtol=1e-5, atol=1e-5)


def test_bf16_steps_keep_cosines_in_float32_and_about_the_same_loss():
    exact, rough = begin(), begin()
    seen = []
    rough.top.register_forward_hook(lambda _, inputs, out: seen.extend([inputs[0], *out]))
    loss = float(train_step(exact, [views(6)], 0.05, "float32")[0])
    found = float(train_step(rough, [views(6)], 0.05, "bf16")[0])
    assert {each.dtype for each in seen} == {torch.float32}
    torch.testing.assert_close(seen[0].detach().norm(dim=1), torch.ones(6))
    assert found == pytest.approx(loss, rel=0.1)
    assert found != loss


@pytest.mark.parametrize("sizes", [[6, 6], [4, 4, 4]])
def test_parts_of_a_batch_give_the_sum_of_their_gradients_by_their_share(sizes):
    options = {"sobel": False, "projection": (HIDDEN, DIM)}
    learner = begin(network=small("resnet10-cifar", **options), shards=len(sizes))
    alone = begin(network=small("resnet10-cifar", **options))
    large, few = views(12), views(3, seed=1)
    loss, right = train_step(learner, [large, few], 0.0, "float32")
    total, hits = 0.0, 0
    parts = [(large, sizes), (few, [3])]
    for group, split in parts:
        for part, labels in zip(group.pictures.split(split), group.labels.split(split), strict=True):
            logits = alone.top(alone.network(part))
            heads = [F.cross_entropy(each, labels[:, head]) for head, each in enumerate(logits)]
            share = sum(heads) / len(K) * len(part) / 15
            share.backward()
            total += share.item()
            hits += int((logits[0].argmax(1) == labels[:, 0]).sum()) if group is large else 0
    learner.shards.close()
    assert float(loss) == pytest.approx(total, rel=1e-6)
    assert int(right) == hits
    for ours, expected in zip(learner.network.parameters(), alone.network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-4, atol=1e-6)
