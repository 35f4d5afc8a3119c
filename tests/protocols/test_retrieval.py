"""stages/protocols/retrieval.py: average precision by hand and as an integral; queries; a small search end to end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_helpers import small
from PIL import Image

from stages.protocols.layers import FrozenLayers
from stages.protocols.retrieval import average_precision, prepared, rankings
from stages.protocols.rmac import RegionWhitening, region_features


def test_a_case_by_hand():
    """Right, wrong, right of two: 1/2 at precision 1, then 1/2 between precisions 1/2 and 2/3."""
    assert average_precision("abc", "ac", "") == pytest.approx(0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)


def test_junk_is_as_if_it_were_not_there():
    assert average_precision("xaxbxxc", "ac", "x") == average_precision("abc", "ac", "")
    # Without the rule the query's junk would push the positive down.
    assert average_precision("xa", "a", "") < average_precision("xa", "a", "x") == 1


def test_a_name_that_is_listed_twice_counts_once_and_one_that_is_missing_counts():
    assert average_precision(["a", "b"], ["a", "a", "b"], []) == 1
    assert average_precision(["a", "b"], ["a", "b", "missing", "gone"], []) == pytest.approx(0.5)


names = st.lists(st.sampled_from("pnj"), min_size=1, max_size=60)


@settings(derandomize=True, deadline=None)
@given(names, st.integers(0, 3))
def test_it_is_the_area_under_the_line_of_recall_and_precision(kinds, missing):
    ranked = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    positives = {name for name in ranked if name[0] == "p"} | {f"missing{number}" for number in range(missing)}
    if not positives:
        with pytest.raises(ValueError, match="no positive"):
            average_precision(ranked, positives, set())
        return
    hits = np.array([kind == "p" for kind in kinds if kind != "j"])
    recall = np.concatenate([[0], np.cumsum(hits) / len(positives)])
    precision = np.concatenate([[1], np.cumsum(hits) / np.arange(1, len(hits) + 1)])
    found = average_precision(ranked, positives, {name for name in ranked if name[0] == "j"})
    assert found == pytest.approx(np.trapezoid(precision, recall))


def test_perfect_and_random_rankings():
    ranked = [str(number) for number in range(1000)]
    rng = np.random.default_rng(0)
    positives = rng.choice(ranked, 50, replace=False)
    chosen = {*positives}
    best = [*positives, *(name for name in ranked if name not in chosen)]
    assert average_precision(best, positives, []) == 1
    # No more than recall times precision at the end, beyond the first step.
    assert average_precision(best[::-1], positives, []) < 0.03
    chance = np.mean([average_precision(rng.permutation(ranked), positives, []) for _ in range(300)])
    assert chance == pytest.approx(0.05, abs=0.01)


def test_rankings_are_by_product_and_copies_keep_their_order():
    rng = np.random.default_rng(0)
    database = rng.normal(size=(50, 7)).astype(np.float32)
    database[[4, 20, 33]] = database[9]
    queries = rng.normal(size=(3, 7)).astype(np.float32)
    found = rankings(queries, database)
    for query, order in zip(queries.astype(np.float64), found, strict=True):
        products = database.astype(np.float64) @ query
        assert (np.diff(products[order]) <= 1e-6).all()
        assert [image for image in order if image in (4, 9, 20, 33)] == [4, 9, 20, 33]
        assert sorted(order) == [*range(50)]


@pytest.mark.parametrize(
    ("height", "width", "size"), [(768, 1024, (96, 128)), (50, 40, (128, 102)), (3, 900, (1, 128))]
)
def test_the_longest_side_is_as_asked(height, width, size):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = prepared(picture, 128)
    expected = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_querys_box_is_cut_after_resizing():
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    whole = prepared(picture, 200)
    np.testing.assert_array_equal(prepared(picture, 200, (136.5, 34.1, 348.5, 255.7)), whole[17:128, 68:174])
    # Not the same as resizing what is in the box.
    assert prepared(picture, 200, (136.5, 34.1, 348.5, 255.7)).shape == (111, 106, 3)
    np.testing.assert_array_equal(prepared(picture, 200, (-3, -0.2, 500, 400)), whole)
    with pytest.raises(ValueError, match=r"the box 30, 40, 30, 90 has no pixel of a picture of 400 by 300"):
        prepared(picture, 200, (30, 40, 30, 90))


def scenes(count, seed):
    """Pictures of smooth noise, three of each scene: whole, cut at one side, and brighter."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = rng.integers(0, 200, (9, 12, 3), dtype=np.uint8)
        scene = np.asarray(Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC))
        found += [scene, scene[:, 8:], scene[3:, :-4] // 8 * 8 + 20]
    return found


def test_pictures_of_a_scene_are_found_among_others_by_regions_of_a_random_network():
    layers = FrozenLayers(small("alexnet", sobel=False, input=64, width=0.25), "alexnet", ["conv5"])

    def rows(picture, box=None):
        return region_features(layers(prepared(picture, 192, box)[None])["conv5"][0])

    whitening = RegionWhitening.fit(rows(picture) for picture in scenes(40, seed=1))
    pictures = scenes(10, seed=0)
    database = np.stack([whitening.descriptor(rows(picture)) for picture in pictures])
    queries = np.stack([whitening.descriptor(rows(pictures[3 * n], (10, 8, 90, 66))) for n in range(10)])
    names = np.array([f"{number // 3}-{number % 3}" for number in range(30)])
    found = [
        average_precision(names[order], [f"{n}-{view}" for view in range(3)], [])
        for n, order in enumerate(rankings(queries, database))
    ]
    chance = [
        average_precision(names[order], [f"{(n + 1) % 10}-{view}" for view in range(3)], [])
        for n, order in enumerate(rankings(queries, database))
    ]
    assert np.mean(found) > 0.75 and np.mean(chance) < 0.25
