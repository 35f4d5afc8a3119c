"""stages/sources/landmarks.py: Oxford5k and Paris6k as they lie, what is missing of them, and their odd names."""

import pytest
from set_helpers import entry, jpeg, looked, write
from stage_helpers import refused

from stages.artifacts.index import EvaluationIndex, write_index
from stages.sources.landmarks import OXFORD, PARIS, UNREADABLE
from stages.sources.sets import look_through, survey


def put_together(folder, pictures, queries):
    """A folder of landmarks: names of pictures, and by query the four lists' texts."""
    write(folder, {f"jpg/{name}.jpg": jpeg(24, 32) for name in pictures})
    for name, (query, good, ok, junk) in queries.items():
        lists = {"query": query, "good": good, "ok": ok, "junk": junk}
        write(folder, {f"lab/{name}_{kind}.txt": content for kind, content in lists.items()})


def indexed(root):
    found = survey(root, entry("landmarks"))
    write_index(root, found, look_through(found))
    return EvaluationIndex(root, root / "set")


PICTURES = ("hall_000001", "hall_000002", "hall_000003", "hall_000004", "oxford_000001")
QUERY = ("oxc1_hall_000002 1.5 2 30 20.5\n", "hall_000001\nhall_000001\n", "hall_000003\n", "hall_000004\n")


def test_names_with_and_without_the_prefix_and_a_name_that_is_listed_twice(tmp_path):
    put_together(tmp_path / "set", PICTURES, {"hall_1": QUERY, "hall_2": ("hall_000003 0 0 9 9", *QUERY[1:])})
    index = indexed(tmp_path)
    first, second = index.queries
    assert index.names == sorted(PICTURES) and index.rows("all").tolist() == [0, 1, 2, 3, 4]
    assert (first.query, first.image, first.box.tolist()) == ("hall_1", 1, [1.5, 2, 30, 20.5])
    assert first.positives.tolist() == [0, 2] and first.listed == 2 and first.junk.tolist() == [3]
    assert second.image == 2


def test_damaged_pictures_of_paris_are_no_data_and_count_as_positives(tmp_path):
    """As in the released code: the ranking never has them, the ground truth still lists them."""
    name = "paris_louvre_000136"
    put_together(
        tmp_path / "set",
        ["paris_louvre_000001", "paris_louvre_000002"],
        {"louvre_1": ("paris_louvre_000001 0 0 9 9", f"paris_louvre_000002\n{name}\n", "paris_louvre_000001\n", "")},
    )
    write(tmp_path / "set", {f"jpg/{name}.jpg": b"\xff\xd8 cut"})
    index = indexed(tmp_path)
    assert name not in index.names and index.info["left_out"] == [name]
    assert index.queries[0].positives.tolist() == [0, 1] and index.queries[0].listed == 3
    assert len(UNREADABLE) == 20


def test_a_missing_picture_of_the_ground_truth_is_named(tmp_path):
    put_together(tmp_path / "set", PICTURES, {"hall_1": QUERY})
    (tmp_path / "set/jpg/hall_000003.jpg").unlink()
    line = refused(lambda: looked(tmp_path, entry("landmarks")))
    assert "4 of 5 pictures, first missing: jpg/hall_000003.jpg" in line


@pytest.mark.parametrize(("places", "count"), [(OXFORD, 5063), (PARIS, 6392)])
def test_fewer_pictures_than_the_two_sets_have_are_refused(tmp_path, places, count):
    """The ground truth names a sixth of Oxford5k: without the others a search would be easier."""
    names = {f"{place}_{number}": QUERY for place in places for number in range(1, 6)}
    put_together(tmp_path / "set", PICTURES, names)
    line = refused(lambda: looked(tmp_path, entry("landmarks")))
    assert line == f"{tmp_path / 'set'}: 5 of {count:,} pictures: add what is missing"


def test_a_list_names_pictures_that_must_be_there(tmp_path):
    put_together(tmp_path / "set", PICTURES, {"hall_1": QUERY})
    write(tmp_path, {"names.txt": "hall_000001\nhall_000009\n"})
    line = refused(lambda: looked(tmp_path, entry("landmarks", lists={"mine": "names.txt"})))
    assert "5 of 6 pictures, first missing: jpg/hall_000009.jpg" in line


@pytest.mark.parametrize("kind", ["good", "ok", "junk"])
def test_a_missing_list_is_named(tmp_path, kind):
    put_together(tmp_path / "set", PICTURES, {"hall_1": QUERY})
    (tmp_path / f"set/lab/hall_1_{kind}.txt").unlink()
    assert f"hall_1_{kind}.txt is missing" in refused(lambda: survey(tmp_path, entry("landmarks")))


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("hall_000001 1 2 3", "holds no picture's name with x1 y1 x2 y2"),
        ("", "holds no picture's name with x1 y1 x2 y2"),
        ("hall_000001 1 2 3 x", "holds no picture's name with x1 y1 x2 y2"),
        ("hall_000001 9 2 3 20", "empty or inverted"),
        ("hall_000001 0 0 320 240", "is not within jpg/hall_000001.jpg of 32x24 pixels"),
    ],
)
def test_a_query_without_a_box_of_its_picture_is_refused(tmp_path, query, told):
    put_together(tmp_path / "set", PICTURES, {"hall_1": (query, *QUERY[1:])})
    line = refused(lambda: looked(tmp_path, entry("landmarks")))
    assert "hall_1_query.txt" in line and told in line


def test_a_query_without_positives_is_refused(tmp_path):
    put_together(tmp_path / "set", PICTURES, {"hall_1": (QUERY[0], "", "\n", QUERY[3])})
    assert "good and ok lists are both empty" in refused(lambda: survey(tmp_path, entry("landmarks")))


def test_pictures_in_folders_are_told_to_be_flattened(tmp_path):
    put_together(tmp_path / "set", (), {"hall_1": QUERY})
    write(tmp_path / "set", {"jpg/paris/hall/hall_000001.jpg": jpeg(24, 32)})
    assert "must lie in it flat" in refused(lambda: survey(tmp_path, entry("landmarks")))


def test_a_folder_without_ground_truth_is_refused(tmp_path):
    put_together(tmp_path / "set", PICTURES, {})
    assert "lab holds no *_query.txt" in refused(lambda: survey(tmp_path, entry("landmarks")))
