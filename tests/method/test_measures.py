"""stages/method/measures.py: measures of a clustering, against the formulas written out."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import KNeighborsClassifier

from stages.method.measures import TO_LABELS, ami, cluster_sizes, knn_accuracy, nmi, purity, reassigned_share, to_labels


def formula(a, b):
    """I(A; B) / sqrt(H(A) H(B)) of section 4.1, from counts."""
    n = len(a)
    of_a, of_b, of_both = Counter(a), Counter(b), Counter(zip(a, b, strict=True))

    def entropy(counts):
        return -sum(c / n * math.log(c / n) for c in counts.values())

    information = sum(c / n * math.log(c * n / (of_a[x] * of_b[y])) for (x, y), c in of_both.items())
    return information / math.sqrt(entropy(of_a) * entropy(of_b))


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


@settings(derandomize=True, deadline=None)
@given(pairs)
def test_nmi_is_the_papers_formula(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    found = nmi(np.array(a), np.array(b))
    if len(set(a)) == len(set(b)) == 1:
        assert found is None
    elif len(set(a)) == 1 or len(set(b)) == 1:
        assert found == 0
    else:
        assert found == pytest.approx(formula(a, b), abs=1e-9)
        assert 0 <= found <= 1


@settings(derandomize=True, deadline=None)
@given(pairs)
def test_nmi_does_not_depend_on_the_order_or_on_names(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    found = nmi(a, b)
    assert nmi(b, a) == pytest.approx(found) if found is not None else nmi(b, a) is None
    renamed = np.array([3, 1, 4, 0, 5, 9, 2])[a]
    assert nmi(renamed, b) == pytest.approx(found) if found is not None else nmi(renamed, b) is None


def test_nmi_of_a_clustering_with_itself_is_one():
    a = np.random.default_rng(0).integers(0, 30, 500)
    assert nmi(a, a) == pytest.approx(1)
    assert nmi(a, (a + 7) % 30) == pytest.approx(1)


def test_nmi_divides_by_the_geometric_mean_not_the_arithmetic():
    # H(A) = log 4, H(B) = log 2, I = log 2: 1 / sqrt(2) and not 2 / 3.
    assert nmi(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])) == pytest.approx(1 / math.sqrt(2))


def test_a_collapse_does_not_look_like_convergence():
    one, many = np.zeros(50, int), np.arange(50) % 5
    assert nmi(one, one) is None
    assert nmi(one, many) == 0
    assert nmi(many, one) == 0
    assert (ami(one, one), ami(one, many), ami(many, one)) == (None, 0, 0)


@settings(derandomize=True, deadline=None)
@given(pairs)
def test_ami_is_scikit_learns_where_both_have_several_clusters(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    single = len(np.unique(a)) < 2, len(np.unique(b)) < 2
    expected = None if all(single) else 0 if any(single) else min(adjusted_mutual_info_score(a, b), 1)
    assert ami(a, b) == pytest.approx(expected, abs=1e-9)


def test_ami_says_nothing_where_nmi_grows_by_chance():
    rng = np.random.default_rng(0)
    classes, lots = rng.integers(0, 10, 500), rng.integers(0, 100, 500)
    assert nmi(classes, lots) > 0.2 and abs(ami(classes, lots)) < 0.02
    assert ami(classes, classes) == pytest.approx(1)


def test_purity_by_hand():
    # Cluster 0 has two of class 1 and one of class 4; cluster 3 one each of two classes; cluster 7 one alone.
    clusters, labels = np.array([0, 3, 0, 7, 3, 0]), np.array([1, 0, 4, 0, 2, 1])
    assert purity(clusters, labels) == pytest.approx((2 + 1 + 1) / 6)
    assert purity(np.zeros(6, int), labels) == pytest.approx(2 / 6)
    assert purity(np.arange(6), labels) == 1


@settings(derandomize=True, deadline=None)
@given(pairs)
def test_purity_is_the_sum_of_the_largest_counts_of_the_contingency_matrix(pairs):
    clusters, labels = (np.array(side) for side in zip(*pairs, strict=True))
    expected = contingency_matrix(labels, clusters).max(0).sum() / len(labels)
    assert purity(clusters, labels) == pytest.approx(expected)
    assert type(purity(clusters, labels)) is float


def test_agreement_with_labels_is_of_the_labelled_rows_alone_and_none_without_any():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 4)).astype(np.float32)
    clusters, labels = rng.integers(0, 5, 60), rng.integers(0, 3, 60)
    hidden = np.where(np.arange(60) % 3 == 0, -1, labels)
    shown = hidden >= 0
    assert to_labels(rows, clusters, hidden) == to_labels(rows[shown], clusters[shown], labels[shown])
    assert to_labels(rows, clusters, hidden)["purity"] == purity(clusters[shown], labels[shown])
    assert to_labels(rows, clusters, np.full(60, -1)) == dict.fromkeys(TO_LABELS)


def test_the_reassigned_share_counts_what_left_the_majority_of_its_cluster():
    before = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    after = np.array([5, 5, 5, 6, 3, 3, 5, 7, 8, 9])
    # One of cluster 0 left, one of cluster 1, and of cluster 2 all but one.
    assert reassigned_share(before, after) == pytest.approx(4 / 10)


def test_nothing_is_reassigned_when_clusters_are_only_renamed_or_merged():
    before = np.array([0, 1, 2, 0, 1, 2, 3])
    assert reassigned_share(before, np.array([9, 4, 0, 9, 4, 0, 1])) == 0
    assert reassigned_share(before, np.zeros(7, int)) == 0


def test_the_reassigned_share_tells_clusters_apart_on_the_int32_of_stored_tables():
    """Numbers of pairs of clusters do not fit int32: 65,536 * 65,536 would wrap to the pairs of cluster 0."""
    before = np.array([0, 65_536, 5], np.int32)
    after = np.array([1, 2, 65_535], np.int32)
    assert reassigned_share(before, after) == 0


def test_knn_accuracy_equals_leaving_each_row_out():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 150)
    rows = (rng.standard_normal((150, 6)) + labels[:, None] * 0.5).astype(np.float32)
    for neighbours in (1, 4, 10):
        right = 0
        for i in range(150):
            others = np.arange(150) != i
            classifier = KNeighborsClassifier(neighbours, algorithm="brute").fit(rows[others], labels[others])
            right += classifier.predict(rows[i : i + 1])[0] == labels[i]
        assert knn_accuracy(rows, labels, neighbours) == pytest.approx(right / 150)
        assert 0.2 < right / 150 < 0.95


def test_knn_accuracy_leaves_out_rows_without_a_label():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((60, 4)).astype(np.float32)
    labels = rng.integers(0, 3, 60)
    hidden = np.where(np.arange(60) % 3 == 0, -1, labels)
    assert knn_accuracy(rows, hidden) == knn_accuracy(rows[hidden >= 0], labels[hidden >= 0])


def test_knn_accuracy_of_two_rows_and_of_fewer():
    rows = np.eye(2, dtype=np.float32)
    assert knn_accuracy(rows, np.array([3, 3])) == 1
    assert knn_accuracy(rows, np.array([0, 1])) == 0
    assert knn_accuracy(rows, np.array([0, -1])) is None
    assert knn_accuracy(rows, np.array([-1, -1])) is None


def test_cluster_sizes_by_hand():
    found = cluster_sizes(np.array([0, 0, 0, 0, 0, 2, 2, 3]), 6)
    entropy = -(5 / 8 * math.log(5 / 8) + 2 / 8 * math.log(2 / 8) + 1 / 8 * math.log(1 / 8))
    assert found == {
        "clusters": 6,
        "used": 3,
        "empty": 3,
        "singletons": 1,
        "largest_share": 5 / 8,
        "entropy": pytest.approx(entropy),
    }


def test_one_cluster_has_no_entropy():
    found = cluster_sizes(np.zeros(9, int), 1)
    assert (found["used"], found["empty"], found["largest_share"], found["entropy"]) == (1, 0, 1, 0)
