"""Features to reduce, and how transforms of them are compared."""

import numpy as np


def features(n=600, d=40, seed=0):
    """Correlated features with a mean far from zero and eigenvalues over two orders of magnitude."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((d, d)) * np.geomspace(1, 0.1, d)
    return (rng.standard_normal((n, d)) @ mix + rng.uniform(-20, 20, d)).astype(np.float32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def up_to_sign(a, b):
    return a * np.sign((a * b).sum(0))


def blocks(rows, size):
    return [rows[start : start + size] for start in range(0, len(rows), size)]
