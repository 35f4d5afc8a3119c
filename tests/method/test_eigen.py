"""stages/method/eigen.py: the leading eigenpairs against LAPACK's of the whole matrix."""

import numpy as np
import pytest

from stages.method import eigen
from stages.method.eigen import leading

N = 1200


def matrix(spectrum, seed=0):
    axes, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((N, N)))
    return axes * spectrum @ axes.T


def residual(found, of):
    values, vectors = found
    return np.linalg.norm(of @ vectors - vectors * values, axis=0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """So that matrices which take little time are not left to LAPACK."""
    monkeypatch.setattr(eigen, "SMALL", N // 2)


@pytest.fixture
def dense(monkeypatch):
    """Counts how often the whole matrix is left to LAPACK."""
    calls = []
    original = eigen._dense

    def counted(matrix, count):
        calls.append(len(matrix))
        return original(matrix, count)

    monkeypatch.setattr(eigen, "_dense", counted)
    return calls


SPECTRA = {
    "power law": np.arange(1, N + 1) ** -2.5,
    "over nine orders": np.geomspace(1, 1e-9, N),
    "pairs of equal values": np.repeat(np.arange(1, N // 2 + 1) ** -3.0, 2),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_it_is_what_lapack_finds(name, dense):
    spectrum = SPECTRA[name]
    whole = matrix(spectrum)
    values, vectors = leading(whole, 64)
    assert N not in dense
    np.testing.assert_allclose(values, np.linalg.eigvalsh(whole)[::-1][:64], rtol=1e-7, atol=1e-15)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(64), atol=1e-12)
    assert (residual((values, vectors), whole) <= 1e-6 * spectrum[:64] + 1e-14).all()


def test_only_the_upper_triangle_is_read():
    whole = matrix(SPECTRA["power law"])
    values, vectors = leading(np.triu(whole), 32)
    expected, same = leading(whole, 32)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(vectors, same)


@pytest.mark.parametrize("rank", [5, 100])
def test_beyond_the_rank_there_are_zeros_and_still_orthonormal_vectors(rank, dense):
    whole = matrix(np.r_[np.linspace(2, 1, rank), np.zeros(N - rank)])
    values, vectors = leading(whole, 128)
    assert N not in dense
    np.testing.assert_allclose(values[:rank], np.linspace(2, 1, rank), rtol=1e-12)
    np.testing.assert_allclose(values[rank:], 0, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(128), atol=1e-12)


def test_a_spectrum_too_flat_for_it_is_left_to_lapack(dense):
    whole = matrix(np.linspace(2, 1, N))
    values, vectors = leading(whole, 64)
    assert N in dense
    np.testing.assert_allclose(values, np.linalg.eigvalsh(whole)[::-1][:64], rtol=1e-12)
    assert (residual((values, vectors), whole) < 1e-12).all()


def test_the_same_matrix_gives_the_same_bytes():
    whole = matrix(SPECTRA["power law"])
    first, second = leading(whole, 32), leading(whole, 32)
    assert first[1].tobytes() == second[1].tobytes()


def test_all_vectors_of_a_small_matrix():
    whole = np.diag([3.0, 1.0, 2.0])
    values, vectors = leading(whole, 3)
    np.testing.assert_allclose(values, [3, 2, 1])
    np.testing.assert_allclose(np.abs(vectors), np.eye(3)[:, [0, 2, 1]], atol=1e-15)
