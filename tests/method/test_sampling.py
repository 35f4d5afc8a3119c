"""stages/method/sampling.py: pseudo-labels and the sampler that is uniform over them (section 3.3)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stages.method.sampling import batches, dense_labels, released_draws, shuffled_draws, uniform_draws


def labels_of(*sizes, seed=0):
    """Labels of clusters of these sizes, the images in random order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def draws_of(labels, count, seed):
    return uniform_draws(labels, count, np.random.default_rng(seed))


many_labels = st.lists(st.integers(1, 30), min_size=1, max_size=12).map(lambda sizes: labels_of(*sizes))


def test_labels_are_dense_and_keep_the_order_of_the_clusters():
    assert dense_labels(np.array([0, 4, 1, 0, 2])).tolist() == [-1, 0, 1, -1, 2]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_no_label_is_empty_and_no_two_clusters_share_one(assignment):
    labels = dense_labels(np.bincount(assignment))[assignment]
    assert set(labels) == set(range(len(set(assignment))))
    assert len(set(zip(assignment, labels, strict=True))) == len(set(assignment))


@settings(derandomize=True, deadline=None)
@given(many_labels, st.integers(1, 300), st.integers(0, 3))
def test_there_are_exactly_as_many_draws_as_asked_for_and_none_of_a_label_above_its_share(labels, count, seed):
    draws = draws_of(labels, count, seed)
    assert len(draws) == count
    assert draws.min() >= 0 and draws.max() < len(labels)
    drawn = np.bincount(labels[draws])
    assert drawn.max() <= count // (labels.max() + 1) + 1


def test_each_label_has_its_share_before_the_cut():
    # int(14 / 5) + 1 = 3 draws each make 15, and the cut takes a single one away.
    labels = labels_of(50, 20, 3, 2, 1)
    for seed in range(50):
        assert sorted(np.bincount(labels[draws_of(labels, 14, seed)])) == [2, 3, 3, 3, 3]


def test_the_cut_takes_from_every_label_alike():
    labels = labels_of(50, 20, 3, 2, 1)
    lost = [np.bincount(labels[draws_of(labels, 14, seed)]).argmin() for seed in range(2000)]
    assert stats.chisquare(np.bincount(lost, minlength=5)).pvalue > 0.001


def test_draws_are_uniform_over_labels():
    """Chi-square over seeds, of one draw of each so that they are independent: the first and the last."""
    labels = labels_of(900, 50, 40, 9, 1)
    for position in (0, -1):
        drawn = [labels[draws_of(labels, 100, seed)[position]] for seed in range(3000)]
        assert stats.chisquare(np.bincount(drawn, minlength=5)).pvalue > 0.001


def test_all_draws_together_are_uniform_over_labels():
    labels = labels_of(900, 50, 50)
    total = sum(np.bincount(labels[draws_of(labels, 1000, seed)]) for seed in range(200))
    assert stats.chisquare(total).pvalue > 0.001
    for seed in range(20):
        assert np.bincount(labels[draws_of(labels, 1000, seed)]).min() >= 332


def test_draws_are_uniform_over_the_images_of_a_label():
    labels = labels_of(60, 8, 1)
    total = sum(np.bincount(draws_of(labels, 69, seed), minlength=69) for seed in range(1500))
    for label in (0, 1):
        assert stats.chisquare(total[labels == label]).pvalue > 0.001


def test_an_image_is_drawn_in_inverse_proportion_to_the_size_of_its_cluster():
    labels = labels_of(60, 8, 1)
    total = sum(np.bincount(draws_of(labels, 69, seed), minlength=69) for seed in range(1500))
    assert stats.chisquare(total, total.sum() / (3 * np.bincount(labels)[labels])).pvalue > 0.001


def test_a_label_with_more_images_than_its_share_is_drawn_without_replacement():
    labels = labels_of(40, 5, 3)  # a share of int(48 / 3) + 1 = 17
    for seed in range(100):
        draws = draws_of(labels, 48, seed)
        large = draws[labels[draws] == 0]
        assert len(set(large)) == len(large) >= 14


def test_a_label_with_no_more_images_than_its_share_is_drawn_with_replacement():
    labels = labels_of(40, 17, 3)  # the second has exactly its share of 60 // 3 + 1 = 21 less four
    exact = labels_of(39, 21)  # a share of int(41 / 2) + 1 = 21
    repeats = 0
    for seed in range(20):
        for case, count in ((labels, 60), (exact, 41)):
            small = draws_of(case, count, seed)
            small = small[case[small] == 1]
            repeats += len(set(small)) < len(small)
    assert repeats == 40


def test_draws_come_in_random_order():
    labels = labels_of(100, 100)
    draws = draws_of(labels, 200, 0)
    changes = (np.diff(labels[draws]) != 0).sum()
    # 199 fair coins give 99.5 changes with a deviation of 7.
    assert 60 < changes < 140


def test_a_seed_fixes_the_draws_and_another_changes_them():
    labels = labels_of(30, 10, 2)
    np.testing.assert_array_equal(draws_of(labels, 42, 5), draws_of(labels, 42, 5))
    assert not np.array_equal(draws_of(labels, 42, 5), draws_of(labels, 42, 6))


def test_more_passes_draw_more_of_each_label():
    labels = labels_of(900, 50, 50)
    drawn = np.bincount(labels[draws_of(labels, 2500, 0)])
    # int(2500 / 3) + 1 = 834 of each before two are cut.
    assert drawn.sum() == 2500 and drawn.max() <= 834 and drawn.min() >= 832


def released(labels, seed):
    return np.bincount(labels[released_draws(labels, 1000, np.random.default_rng(seed))], minlength=3)


def test_the_released_codes_draws_are_image_indices_read_as_positions_in_the_order_of_clusters():
    labels = labels_of(900, 50, 50)
    # Image p is drawn 1000 / 3 / (size of its label) times on average, and feeds the picture at position p.
    size = np.bincount(labels)
    drawn = 1000 / 3 / size[labels]
    expected = [drawn[:900].sum(), drawn[900:950].sum(), drawn[950:].sum()]
    found = np.array([released(labels, seed) for seed in range(300)])
    error = found.std(0) / np.sqrt(300)
    assert (abs(found.mean(0) - expected) < 5 * error + 1e-9).all()


def test_the_released_code_is_far_from_uniform_as_its_example_says():
    """Clusters of 900, 50 and 50 were fed 879, 72 and 49 times, where a third each was meant."""
    found = np.array([released(labels_of(900, 50, 50, seed=seed), seed) for seed in range(400)])
    # Over all orders of the images each position is equally often drawn: the sizes themselves.
    assert (abs(found.mean(0) - [900, 50, 50]) < 5 * found.std(0) / np.sqrt(400)).all()
    for example, low, high in zip((879, 72, 49), *np.quantile(found, [0.02, 0.98], axis=0), strict=True):
        assert low <= example <= high
    assert found[:, 0].min() > 700


def test_images_in_the_order_of_their_clusters_hide_the_released_codes_quirk():
    labels = np.repeat([0, 1, 2], [900, 50, 50])
    rngs = [np.random.default_rng(0) for _ in range(2)]
    np.testing.assert_array_equal(released_draws(labels, 1000, rngs[0]), uniform_draws(labels, 1000, rngs[1]))


def shuffled(n, count, seed=0):
    return shuffled_draws(labels_of(n - 3, 2, 1), count, np.random.default_rng(seed))


@settings(derandomize=True, deadline=None)
@given(st.integers(4, 40), st.integers(1, 130), st.integers(0, 3))
def test_shuffled_draws_take_each_image_once_before_any_comes_again(n, count, seed):
    draws = shuffled(n, count, seed)
    assert len(draws) == count
    for start in range(0, count, n):
        part = draws[start : start + n]
        assert len(set(part.tolist())) == len(part)
    drawn = np.bincount(draws, minlength=n)
    assert len(drawn) == n and drawn.max() - drawn.min() <= 1


def test_shuffled_draws_have_every_image_at_every_place_and_another_order_each_time():
    first = [shuffled(8, 16, seed)[0] for seed in range(2000)]
    assert stats.chisquare(np.bincount(first, minlength=8)).pvalue > 0.001
    draws = shuffled(50, 100)
    assert draws[:50].tolist() != draws[50:].tolist()
    assert draws.tolist() == shuffled(50, 100).tolist() != shuffled(50, 100, 1).tolist()


def test_a_single_image_left_over_joins_the_batch_before_it():
    assert batches(9, 4) == [(0, 4), (4, 9)]
    assert batches(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert batches(8, 4) == [(0, 4), (4, 8)]
    assert batches(1, 4) == [(0, 1)]
    assert batches(5, 4) == [(0, 5)]


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 200), st.integers(2, 40))
def test_batches_cover_every_draw_once_and_none_is_single(count, size):
    spans = batches(count, size)
    assert [i for span in spans for i in range(*span)] == list(range(count))
    lengths = [end - start for start, end in spans]
    assert max(lengths) <= size + 1
    assert count == 1 or min(lengths) > 1
