"""The mutual information that two groupings share by chance (Vinh et al. 2010), for many groups.

scikit-learn's goes through every pair of groups; this one through every pair of sizes, of which there are far fewer
where there are as many groups as ImageNet has classes and clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

CELLS = 2**20
"""Numbers that are in memory at once, of each of some ten arrays."""


def expected_information(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """The mean mutual information, in nats, over all ways to deal N images into groups of these sizes.

    Args:
        a, b: sizes of the groups of each of two groupings, all above 0; their sums are N.
    """
    if a.max() > b.max():
        a, b = b, a
    n = int(a.sum())
    factorial = gammaln(np.arange(n + 1) + 1.0)
    sizes, times = np.unique(b, return_counts=True)
    total = 0.0
    for size, repeats in zip(*np.unique(a, return_counts=True), strict=True):
        fixed = (factorial[size] + factorial[n - size] - factorial[n]) + (factorial[sizes] + factorial[n - sizes])
        rows = max(1, CELLS // len(sizes))
        for first in range(1, size + 1, rows):
            # Images that two groups of `size` and `sizes` share, a row a number of them. None adds nothing.
            shared = np.arange(first, min(first + rows, size + 1))[:, None]
            neither = n - size - sizes + shared
            possible = (shared <= sizes) & (neither >= 0)
            log_ways = (
                fixed
                - factorial[shared]
                - factorial[size - shared]
                - factorial[np.where(possible, sizes - shared, 0)]
                - factorial[np.where(possible, neither, 0)]
            )
            ways = np.exp(np.where(possible, log_ways, -np.inf))
            information = shared / n * np.log(n * shared / (size * sizes))
            total += repeats * float((times * ways * information).sum())
    return total
