"""stages/method/shards.py: gradients of parts of a batch, computed by threads, against those computed in turn."""

import numpy as np
import pytest
import torch
from network_helpers import small
from torch.nn import functional as F

from stages.method.networks import Dropout
from stages.method.training import Batch, new_learner, train_step

LABELS = 5


def learner_of(shards, dropout=0.0, seed=0, architecture="resnet10"):
    torch.manual_seed(seed)
    network = small(architecture, sobel=False, top_dropout=dropout)
    return new_learner(
        network, LABELS, {}, lr=0.05, momentum=0.9, weight_decay=0.0, shards=shards, device=torch.device("cpu")
    )


def batch(n=12, side=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8), rng.integers(0, LABELS, n)


def step_on(learner, pictures, labels, lr):
    seen = Batch(torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(labels)[:, None])
    return train_step(learner, [seen], lr, "float32")


def weights(learner):
    return [p.detach().clone() for part in (learner.network, learner.top) for p in part.parameters()]


def steps(learner, count=3, n=12):
    losses = []
    for i in range(count):
        losses.append(float(step_on(learner, *batch(n, seed=i), 0.05)[0]))
    return losses


@pytest.mark.parametrize(("shards", "sizes"), [(2, [6, 6]), (3, [4, 4, 4])])
def test_gradients_are_the_sum_of_those_of_each_part_by_its_share(shards, sizes):
    learner, alone = learner_of(shards), learner_of(1)
    pictures, labels = batch()
    loss, right = step_on(learner, pictures, labels, 0.0)
    images, target = torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(labels)
    total, hits = 0.0, 0
    for part, wanted in zip(images.split(sizes), target.split(sizes), strict=True):
        logits = alone.top(alone.network(part))
        share = F.cross_entropy(logits, wanted) * len(part) / 12
        share.backward()
        total, hits = total + share.item(), hits + int((logits.argmax(1) == wanted).sum())
    assert float(loss) == pytest.approx(total, rel=1e-6)
    assert int(right) == hits
    for ours, expected in zip(learner.network.parameters(), alone.network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_the_parts_see_batch_statistics_of_their_own():
    one, two = learner_of(1), learner_of(2)
    assert steps(one, 1) != steps(two, 1)


def test_every_copy_follows_the_weights_that_are_trained_and_restored():
    learner = learner_of(2)
    state = learner_of(2, seed=9).state()
    before = weights(learner)
    steps(learner)
    network, top = learner.shards.parts[1]
    copies = [*network.parameters(), *top.parameters()]
    assert all(map(torch.equal, copies, weights(learner)))
    assert not all(map(torch.equal, before, weights(learner)))
    learner.load(state)
    assert all(map(torch.equal, copies, weights(learner_of(2, seed=9))))


def test_dropout_follows_torchs_random_state_and_no_thread():
    def losses(seed, dropout=0.5):
        learner = learner_of(2, dropout)
        torch.manual_seed(seed)
        return steps(learner)

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    assert losses(1, 0.0) == losses(2, 0.0)


def test_each_part_drops_units_of_its_own():
    learner = learner_of(2, 0.5)
    masks = []
    for network, _ in learner.shards.parts:
        dropout = next(m for m in network.modules() if isinstance(m, Dropout))
        dropout.register_forward_hook(lambda _, __, out: masks.append(out.detach() == 0))
    steps(learner, 1)
    assert len(masks) == 2
    assert masks[0].shape == masks[1].shape
    assert not torch.equal(*masks)


def test_seeded_dropout_keeps_the_mean():
    dropout = Dropout(0.3).train()
    dropout.generator = torch.Generator().manual_seed(0)
    out = dropout(torch.ones(100_000))
    assert abs(float((out == 0).float().mean()) - 0.3) < 0.01
    assert float(out.max()) == pytest.approx(1 / 0.7)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_a_small_batch_has_fewer_parts_so_that_batch_normalisation_can_train(n):
    learner = learner_of(3)
    pictures, labels = batch(n, side=32)
    assert np.isfinite(float(step_on(learner, pictures, labels, 0.05)[0]))


def test_one_part_leaves_torchs_random_state_to_dropout_alone():
    learner = learner_of(1)
    before = torch.get_rng_state()
    steps(learner, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_end_with_the_learner():
    learner = learner_of(2)
    steps(learner, 1)
    learner.shards.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        steps(learner, 1)
