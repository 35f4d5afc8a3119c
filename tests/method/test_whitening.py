"""PCA, whitening and l2-normalisation against the equation in float64 and against faiss."""

import faiss
import numpy as np
import pytest
from whitening_helpers import blocks, features, unit, up_to_sign

from stages.method.whitening import PCAWhitening


def whitened(rows, dim):
    """diag(eigenvalue^-1/2) V^T (x - mean), by the singular values of the centred rows in float64."""
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:dim].T / (singular[:dim] / np.sqrt(len(rows)))


def spectrum(n, d, power, offset=1.0):
    """Rows whose standard deviations fall as i^-power along random directions."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return (rng.standard_normal((n, d)) * np.arange(1, d + 1.0) ** -power @ axes.T + offset).astype(np.float32)


def assert_same_inner_products(ours, expected, most=1e-6):
    """A component's sign is free, and so are all directions of equal variance."""
    wide = ours.astype(np.float64)
    np.testing.assert_allclose(wide @ wide.T, expected @ expected.T, rtol=0, atol=most)


@pytest.mark.parametrize("dim", [12, 40])
def test_the_whitened_features_have_identity_covariance(dim):
    rows = features()
    pca = PCAWhitening.fit(blocks(rows, 100), dim)
    white = (rows.astype(np.float64) - pca.mean) @ pca.components
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(dim), atol=1e-8)


@pytest.mark.parametrize("dim", [12, 40])
def test_whitening_equals_a_float64_version_up_to_sign(dim):
    rows = features()
    ours = PCAWhitening.fit(blocks(rows, 100), dim).apply(rows)
    expected = unit(whitened(rows, dim))
    np.testing.assert_allclose(ours, up_to_sign(expected, ours), atol=1e-6)


def test_small_components_beside_large_ones_are_whitened_as_in_float64():
    """A trained network's features vary 10^8 times as much along the first component as along the last."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((32, 32)))
    rows = (rng.standard_normal((500, 32)) * np.geomspace(1, 1e-4, 32) @ axes.T + 1).astype(np.float32)
    pca = PCAWhitening.fit(blocks(rows, 100), 32)
    assert pca.rank == 32
    white = (rows.astype(np.float64) - pca.mean) @ pca.components
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(32), atol=1e-6)
    ours, expected = pca.apply(rows), unit(whitened(rows, 32))
    np.testing.assert_allclose(ours, up_to_sign(expected, ours), atol=1e-6)


def test_whitening_agrees_with_faiss_up_to_sign():
    rows = features()
    # faiss takes eigen_power as its third positional argument only.
    theirs = faiss.PCAMatrix(40, 16, -0.5)
    theirs.train(rows)
    expected = unit(theirs.apply(rows))
    ours = PCAWhitening.fit(blocks(rows, 100), 16).apply(rows)
    np.testing.assert_allclose(ours, up_to_sign(expected, ours), atol=2e-3)


def test_every_row_has_unit_length():
    rows = features()
    white = PCAWhitening.fit([rows], 16).apply(rows)
    assert white.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-6)


def test_the_sign_of_a_component_is_that_of_its_largest_entry():
    """Otherwise the same features could give other bytes with another eigensolver."""
    components = PCAWhitening.fit([features()], 16).components
    assert (components[np.abs(components).argmax(0), np.arange(16)] > 0).all()


def test_the_size_of_a_block_does_not_matter_beyond_rounding():
    rows = features()
    whole = PCAWhitening.fit([rows], 16)
    for size in (1, 7, 599):
        parts = PCAWhitening.fit(blocks(rows, size), 16)
        np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-9)
        np.testing.assert_allclose(parts.eigenvalues, whole.eigenvalues, rtol=1e-8)
        np.testing.assert_allclose(parts.apply(rows), whole.apply(rows), atol=1e-6)
        applied = np.concatenate([whole.apply(block) for block in blocks(rows, size)])
        np.testing.assert_allclose(applied, whole.apply(rows), atol=1e-6)


def test_features_far_from_zero_lose_no_variance_to_cancellation():
    """In float32 the sum of squares minus the square of the mean would be nothing but rounding here."""
    rows = features() + np.float32(3000)
    pca = PCAWhitening.fit(blocks(rows, 100), 40)
    np.testing.assert_allclose(pca.total_variance, rows.astype(np.float64).var(0).sum(), rtol=1e-12)
    assert_same_inner_products(pca.apply(rows), unit(whitened(rows, 40)))


def test_eigenvalues_and_the_variance_kept_are_those_of_the_covariance():
    rows = features()
    pca = PCAWhitening.fit([rows], 10)
    expected = np.linalg.eigvalsh(np.cov(rows.T.astype(np.float64), bias=True))[::-1]
    np.testing.assert_allclose(pca.eigenvalues, expected[:10], rtol=1e-8)
    assert pca.variance_kept == pytest.approx(expected[:10].sum() / expected.sum(), rel=1e-8)
    share = expected[:10] / expected[:10].sum()
    assert pca.effective_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-8)


def test_the_effective_rank_of_equal_eigenvalues_is_their_number():
    corners = np.concatenate([np.eye(8), -np.eye(8)]).astype(np.float32)
    assert PCAWhitening.fit([corners], 8).effective_rank == pytest.approx(8)


def test_constant_columns_do_not_become_dimensions():
    rng = np.random.default_rng(0)
    rows = np.empty((1000, 512), np.float32)
    varying = rng.permutation(512)[:100]
    rows[:] = rng.uniform(-5, 5, 512)
    rows[:, varying] = rng.standard_normal((1000, 100))
    pca = PCAWhitening.fit(blocks(rows, 128), 256)
    assert pca.rank == 100
    white = pca.apply(rows)
    assert white.shape == (1000, 256)
    assert np.isfinite(white).all()
    assert (white[:, 100:] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-5)
    assert_same_inner_products(white, unit(whitened(rows[:, varying], 100)))


def test_as_many_images_as_dimensions_and_one_more_give_the_same_transform():
    """Up to d images the inner products of rows are taken, of more the covariance."""
    rows = features(n=64, d=64)
    few, many = PCAWhitening.fit(blocks(rows, 10), 12), PCAWhitening.fit([*blocks(rows, 10), rows], 12)
    np.testing.assert_allclose(few.mean, many.mean, rtol=1e-12)
    np.testing.assert_allclose(few.eigenvalues, many.eigenvalues, rtol=1e-10)
    assert few.total_variance == pytest.approx(many.total_variance, rel=1e-12)
    np.testing.assert_allclose(few.components, many.components, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("offset", [0, 1, 100])
@pytest.mark.parametrize("power", [0.5, 1.0, 1.66])
@pytest.mark.parametrize("n", [300, 1200])
def test_whitened_rows_have_the_inner_products_of_a_float64_version(n, power, offset):
    """Up to variances that fall 10^8 times over the 256 components kept, with fewer images than dimensions and more."""
    rows = spectrum(n, 400, power, offset)
    ours = PCAWhitening.fit(iter(blocks(rows, 250)), 256).apply(rows)
    assert_same_inner_products(ours, unit(whitened(rows, 256)))


def test_a_layer_of_several_panels_is_whitened_as_in_float64():
    rows = spectrum(1500, 1100, 1.3)
    pca = PCAWhitening.fit(blocks(rows, 400), 64)
    values = np.linalg.svd(rows - rows.mean(0, dtype=np.float64), compute_uv=False) ** 2 / len(rows)
    np.testing.assert_allclose(pca.eigenvalues, values[:64], rtol=1e-10)
    assert pca.total_variance == pytest.approx(values.sum(), rel=1e-12)
    assert_same_inner_products(pca.apply(rows), unit(whitened(rows, 64)))


@pytest.mark.parametrize("n", [300, 1200])
def test_the_same_features_give_the_same_bytes(n):
    rows = spectrum(n, 600, 1.0)
    first, second = (PCAWhitening.fit(blocks(rows, 250), 128) for _ in range(2))
    assert first.components.tobytes() == second.components.tobytes()
    assert first.apply(rows).tobytes() == second.apply(rows).tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("n", [300, 1200])
def test_a_gpu_gives_the_same_inner_products_and_refuses_the_same(n):
    rows = spectrum(n, 600, 1.0)
    ours = PCAWhitening.fit(blocks(rows, 250), 128, "cuda").apply(rows, "cuda")
    assert_same_inner_products(ours, unit(whitened(rows, 128)))
    with pytest.raises(ValueError, match="all features are equal"):
        PCAWhitening.fit([np.full_like(rows, 0.1)], 8, "cuda")


def test_a_first_block_that_is_constant_does_no_harm():
    rows = spectrum(1300, 400, 0.5)
    rows[:200] = 0.5
    ours = PCAWhitening.fit(blocks(rows, 200), 16).apply(rows)
    assert_same_inner_products(ours, unit(whitened(rows, 16)))


def test_features_whose_squares_are_beyond_float32_are_whitened():
    rows = spectrum(1200, 400, 0.5) * np.float32(1e25)
    ours = PCAWhitening.fit(blocks(rows, 500), 16).apply(rows)
    assert_same_inner_products(ours, unit(whitened(rows, 16)))


@pytest.mark.parametrize("n", [30, 600])
def test_features_that_are_float64_and_read_only_are_left_as_they_are(n):
    rows = features(n).astype(np.float64)
    before = rows.copy()
    rows.setflags(write=False)
    PCAWhitening.fit(blocks(rows, 100), 8).apply(rows)
    np.testing.assert_array_equal(rows, before)


def test_fewer_images_than_dimensions_give_one_dimension_less_than_images():
    rows = features(n=30, d=64)
    pca = PCAWhitening.fit(blocks(rows, 8), 48)
    assert pca.rank == 29
    white = pca.apply(rows)
    assert white.shape == (30, 48)
    assert np.isfinite(white).all()
    assert_same_inner_products(white, unit(whitened(rows, 29)))


def test_few_living_units_in_the_layer_before_give_their_number_as_rank():
    """Rounding of the layer's float32 sums fills the other dimensions, and must not be blown up to unit variance."""
    rng = np.random.default_rng(0)
    living = np.maximum(rng.standard_normal((600, 30)), 0).astype(np.float32)
    rows = living @ rng.standard_normal((30, 256)).astype(np.float32) + rng.standard_normal(256).astype(np.float32)
    pca = PCAWhitening.fit(blocks(rows, 100), 64)
    assert pca.rank == 30
    assert (pca.apply(rows)[:, 30:] == 0).all()


def test_more_dimensions_kept_than_there_are_leaves_zeros():
    rows = features(d=20)
    white = PCAWhitening.fit([rows], 32).apply(rows)
    assert white.shape == (600, 32)
    assert (white[:, 20:] == 0).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e6])
@pytest.mark.parametrize("size", [3, 250, 1000])
@pytest.mark.parametrize("n", [13, 1000])
def test_equal_rows_are_refused(value, size, n):
    rows = np.full((n, 16), value, np.float32) * np.linspace(0.5, 2, 16, dtype=np.float32)
    with pytest.raises(ValueError, match="all features are equal"):
        PCAWhitening.fit(blocks(rows, size), 8)


@pytest.mark.parametrize("n", [30, 600])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 29])
def test_features_that_are_not_finite_are_refused(value, n, at):
    rows = features(n)
    rows[at, 5] = value
    with pytest.raises(ValueError, match="not finite"):
        PCAWhitening.fit(blocks(rows, 10), 8)


def test_no_features_are_refused():
    with pytest.raises(ValueError, match="no features"):
        PCAWhitening.fit([], 8)


def test_a_row_equal_to_the_mean_stays_zero():
    """Dividing by its length, as the reference does, would make it NaN."""
    rows = np.concatenate([np.eye(6), -np.eye(6), np.zeros((1, 6))]).astype(np.float32) + np.float32(2)
    white = PCAWhitening.fit([rows], 4).apply(rows)
    assert np.isfinite(white).all()
    assert (white[-1] == 0).all()


def test_float16_features_are_summed_in_more_than_float16():
    rows = features().astype(np.float16)
    half = PCAWhitening.fit(blocks(rows, 100), 16)
    full = PCAWhitening.fit(blocks(rows.astype(np.float32), 100), 16)
    np.testing.assert_array_equal(half.apply(rows), full.apply(rows.astype(np.float32)))
