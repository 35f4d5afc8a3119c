"""A step of SGD on Eq. 1 written out plainly, to run in float64 beside the one that trains."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from stages.parameters.model import ModelParams

MODEL = ModelParams(architecture="alexnet", sobel=True, input=64, width=1 / 16)
LABELS = 7
CPU = torch.device("cpu")

# Large, so that leaving it out could not hide in rounding.
WEIGHT_DECAY = 0.01


def momentum_of(network, seed=0):
    """The state of an SGD in mid-run: a buffer for each parameter, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    buffers = [0.1 * torch.randn(p.shape, generator=generator) for p in network.parameters()]
    return {
        "state": {i: {"momentum_buffer": buffer} for i, buffer in enumerate(buffers)},
        "param_groups": [{"lr": 99.0, "momentum": 0.1, "weight_decay": 7.0, "params": list(range(len(buffers)))}],
    }


def batch(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8), rng.integers(0, LABELS, n)


def normalised(x, dims, weight, bias):
    """Batch normalisation by the statistics of `x` over `dims`, and its scale and shift."""
    centred = x - x.mean(dims, keepdim=True)
    return centred / ((centred**2).mean(dims, keepdim=True) + 1e-5).sqrt() * weight + bias


def plain_features(pictures, weights):
    """f_theta of REFERENCE.md's AlexNet with Sobel, after its last ReLU; takes its weights from an iterator."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = (torch.from_numpy(pictures.astype(np.float64) / 255) - mean) / std
    x = colour.mean(3)[:, None]
    kernels = torch.tensor([[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]])
    x = F.conv2d(x, kernels[:, None], padding=1)
    for stride, padding, pooled in ((4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)):
        x = F.conv2d(x, next(weights), next(weights), stride, padding)
        x = normalised(x, (0, 2, 3), next(weights)[:, None, None], next(weights)[:, None, None]).clamp(min=0)
        if pooled:
            x = F.max_pool2d(x, 3, 2)
    x = x.flatten(1)
    for _ in range(2):
        x = (x @ next(weights).T + next(weights)).clamp(min=0)
    return x


def cross_entropies(logits, labels):
    """(B,) of -log softmax(logits)_label."""
    return torch.logsumexp(logits, 1) - logits[torch.arange(len(labels)), torch.from_numpy(labels)]


def plain_sgd(loss_of, weights, top, momentum, lr, decay=WEIGHT_DECAY, mu=0.9):
    """v <- mu v + (gradient + decay theta), theta <- theta - lr v; the top layer has no v.

    Args:
        loss_of: from weights and top layer to the loss, and what else is to be returned.
    """
    leaves = [w.detach().clone().requires_grad_() for w in [*weights, *top]]
    loss, found = loss_of(leaves[: len(weights)], leaves[len(weights) :])
    gradients = torch.autograd.grad(loss, leaves)
    new, buffers = [], []
    for i, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        move = gradient + decay * leaf.detach()
        if i < len(weights):
            move = mu * momentum[i] + move
            buffers.append(move)
        new.append(leaf.detach() - lr * move)
    return new[: len(weights)], new[len(weights) :], buffers, loss.detach(), found.detach()


def close(found, expected, atol=1e-7):
    for a, b in zip(found, expected, strict=True):
        # The loss alone is float32, so gradients agree to about 1e-7 of it.
        torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=atol)
