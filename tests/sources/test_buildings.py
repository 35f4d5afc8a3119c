"""stages/sources/buildings.py and landmark_files.py: buildings in Oxford's and Paris's layouts."""

import numpy as np
import pytest
from set_helpers import drawn, entry, looked

from stages.artifacts.index import EvaluationIndex, write_index
from stages.parameters.sets import DrawParams
from stages.sources.buildings import draw_building, draw_view
from stages.sources.drawn import draw_set
from stages.sources.sets import look_through, survey

FEW = DrawParams(landmarks=3, views=6, distractors=4)


def files(**change):
    return dict(draw_set(entry("landmarks", draw=FEW.model_dump() | change)))


def test_equal_parameters_give_equal_files_and_another_seed_others():
    first = files()
    assert first == files()
    other = files(seed=1)
    assert all(other[name] != content for name, content in first.items() if name.endswith(".jpg"))


def test_more_of_them_leave_the_first_pictures_as_they_are():
    first, more = files(), files(landmarks=4, distractors=5)
    pictures = {name: content for name, content in first.items() if name.startswith("jpg/")}
    assert pictures.items() <= more.items() and len(more) > len(first)


@pytest.mark.parametrize(("naming", "prefix", "picture"), [("oxford", "oxc1_", ""), ("paris", "", "paris_")])
def test_the_two_namings(tmp_path, naming, prefix, picture):
    of = drawn(tmp_path, "landmarks", naming=naming)
    for path in (tmp_path / "set/lab").glob("*_query.txt"):
        name, *box = path.read_text().split()
        place = path.name.rsplit("_", 2)[0]
        assert name.startswith(f"{prefix}{picture}{place}_0") and len(box) == 4
    found = survey(tmp_path, of)
    write_index(tmp_path, found, look_through(found))
    index = EvaluationIndex(tmp_path, tmp_path / "set")
    assert len(index) == 2 * 6 + 3 and len(index.queries) == 2 * 3
    for query in index.queries:
        # Three good and two ok pictures, the query's own among them, and one of junk.
        assert len(query.positives) == query.listed == 5 and len(query.junk) == 1 and query.image in query.positives
        assert (query.box[:2] >= 0).all()
        assert (query.box[2:] <= [index.width[query.image], index.height[query.image]]).all()


def test_all_pictures_of_a_set_differ(tmp_path):
    of = drawn(tmp_path, "landmarks")
    assert len({one.digest for one in looked(tmp_path, of)}) == 15


def test_good_pictures_show_the_building_ok_a_part_and_junk_hardly_any():
    """Oxford's rule: over a quarter is seen where it is ok, less where it is junk."""
    shares = {"good": [], "ok": [], "junk": []}
    for number in range(30):
        building = draw_building(np.random.default_rng([1, number]))
        for kind, found in shares.items():
            found.append(draw_view(building, np.random.default_rng([2, number]), 0.5, kind).share)
    assert min(shares["good"]) >= 0.6 and np.mean(shares["good"]) > 0.8
    assert min(shares["ok"]) >= 0.25 and np.mean(shares["ok"]) < 0.7
    assert min(shares["junk"]) > 0 and max(shares["junk"]) < 0.25


def test_the_share_is_that_of_the_pixels():
    """1 where nothing stands before a building that is in the picture whole, from the front or a side."""
    shares = []
    for number in range(40):
        parts = draw_building(np.random.default_rng(number))
        shares.append(draw_view(parts, np.random.default_rng(number), 0.5, "good").share)
    assert max(shares) == pytest.approx(1, abs=0.02) and min(shares) < 0.9
    assert sum(share > 0.97 for share in shares) >= 10


def test_the_box_bounds_the_building_alone():
    """Two pictures that differ in the building alone differ in its box alone."""
    one, two = (draw_building(np.random.default_rng(number)) for number in (1, 2))
    first, second = (draw_view(parts, np.random.default_rng(7), 0.0, "good") for parts in (one, two))
    differ = np.abs(first.picture.astype(int) - second.picture).max(axis=2) > 0
    rows, columns = np.nonzero(differ)
    x1, y1 = (min(first.box[side], second.box[side]) for side in (0, 1))
    x2, y2 = (max(first.box[side], second.box[side]) for side in (2, 3))
    assert x1 - 1 <= columns.min() and columns.max() <= x2 and y1 - 1 <= rows.min() and rows.max() <= y2
    assert columns.max() - columns.min() > 0.8 * (x2 - x1)
