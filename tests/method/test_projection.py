"""stages/method/whitening.py without whitening: PCA alone."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from whitening_helpers import blocks, features, unit, up_to_sign

from stages.method.whitening import PCAWhitening


@pytest.mark.parametrize(("n", "dim"), [(600, 12), (600, 40), (20, 12), (20, 40)])
def test_a_projection_is_scikit_learns_pca_up_to_sign(n, dim):
    rows = features(n)
    found = PCAWhitening.fit(blocks(rows, 100), dim, scale=False).project(rows)
    # Of 20 rows around their mean the last component is rounding.
    rank = min(dim, n - 1, rows.shape[1])
    assert (found.shape, found.dtype) == ((n, rank), np.float32)
    expected = PCA(rank, svd_solver="full").fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(up_to_sign(found, expected), expected, rtol=0, atol=1e-4)


def test_without_scaling_the_variances_stay():
    rows = features()
    pca = PCAWhitening.fit([rows], 12, scale=False)
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    expected = unit(centred @ np.linalg.svd(centred, full_matrices=False)[2][:12].T)
    np.testing.assert_allclose(up_to_sign(pca.apply(rows), expected), expected, atol=1e-5)
    scaled = PCAWhitening.fit([rows], 12)
    np.testing.assert_allclose(pca.eigenvalues, scaled.eigenvalues)
    assert pca.effective_rank == scaled.effective_rank
