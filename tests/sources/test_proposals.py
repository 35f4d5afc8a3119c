"""stages/sources/proposals.py and selective_search.py: the two forms of .mat files, and boxes of other pictures."""

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from stage_helpers import picture, refused

from stages.artifacts.proposals import Proposed, read_proposals_table, write_proposals
from stages.sources.proposals import read_proposals, write_proposals_mat
from stages.sources.selective_search import selective_search

SIZES = {"000001": (24, 32), "000002": (40, 30)}
BOXES = {
    "000001": np.array([[0, 0, 31, 23], [4, 2, 20, 9]], np.float32),
    "000002": np.array([[1, 5, 29, 39]], np.float32),
}


def cells(*values, shape=(1, -1)):
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def bulk(path, boxes=BOXES, dtype=np.float64, **more):
    """As R-CNN's files: y1 x1 y2 x2 from 1."""
    matrices = [(one[:, [1, 0, 3, 2]] + 1).astype(dtype) for one in boxes.values()]
    savemat(path, {"images": cells(*boxes, shape=(-1, 1)), "boxes": cells(*matrices)} | more)
    return path


def same(found, boxes=BOXES):
    assert list(found) == list(boxes)
    for name, one in found.items():
        assert one.dtype == np.float32 and np.array_equal(one, boxes[name])
    return True


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16, np.int32])
def test_a_file_of_a_split_counts_rows_first_and_from_1(tmp_path, dtype):
    assert same(read_proposals(bulk(tmp_path / "trainval.mat", dtype=dtype), SIZES))


def test_a_folder_of_single_files_counts_columns_first_and_from_0(tmp_path):
    savemat(tmp_path / "000001_boxes.mat", {"boxes": BOXES["000001"].astype(np.uint16)})
    savemat(tmp_path / "000002.mat", {"boxes": BOXES["000002"]})
    assert same(read_proposals(tmp_path, SIZES))


def test_a_file_of_trainval_serves_train(tmp_path):
    found = read_proposals(bulk(tmp_path / "trainval.mat"), {"000002": SIZES["000002"]})
    assert same(found, {"000002": BOXES["000002"]})


def test_what_is_written_is_read_by_fast_r_cnns_formula(tmp_path):
    content = write_proposals_mat(list(BOXES), list(BOXES.values()))
    assert content == write_proposals_mat(list(BOXES), list(BOXES.values())), "no date within"
    (tmp_path / "x.mat").write_bytes(content)
    raw = loadmat(tmp_path / "x.mat")["boxes"].ravel()
    for number, boxes in enumerate(BOXES.values()):
        assert np.array_equal(raw[number][:, (1, 0, 3, 2)] - 1, boxes)
    assert same(read_proposals(tmp_path / "x.mat", SIZES))


def test_a_picture_without_boxes_has_none(tmp_path):
    boxes = BOXES | {"000002": np.zeros((0, 4), np.float32)}
    assert same(read_proposals(bulk(tmp_path / "x.mat", boxes), SIZES), boxes)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"000001": (24, 32), "000003": (9, 9)}, "1 of the split's 2 pictures, first missing: 000003"),
        ({"000001": (24, 31)}, "boxes of 000001 are not within its picture of 31x24 pixels"),
        ({"000001": (32, 24)}, "they would be, were x and y the other way round"),
    ],
)
def test_proposals_of_another_set_are_refused(tmp_path, sizes, told):
    line = refused(lambda: read_proposals(bulk(tmp_path / "x.mat"), sizes))
    assert "x.mat" in line and told in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"images": cells("000001"), "boxes": cells(np.ones((2, 5)))}, "boxes are 2x5, and four columns are wanted"),
        ({"images": cells("000001"), "boxes": cells(np.ones((1, 4)) * [0, 1, 2, 3])}, "counts y1 x1 y2 x2 from 1"),
        ({"images": cells("000001"), "boxes": cells(np.array([[1, 1, np.nan, 3]]))}, "not finite"),
        ({"images": cells("000001"), "boxes": cells(np.ones((1, 4)), np.ones((1, 4)))}, "1 names in images, and 2"),
        ({"boxes": np.ones((2, 4))}, "has two cells, images and boxes"),
        ({"other": np.ones((2, 4))}, "holds no `boxes`"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, told):
    savemat(tmp_path / "x.mat", content)
    line = refused(lambda: read_proposals(tmp_path / "x.mat", {"000001": (24, 32)}))
    assert "x.mat" in line and told in line


def test_what_is_no_mat_file_or_is_not_there_is_refused(tmp_path):
    (tmp_path / "x.mat").write_bytes(b"MATLAB")
    assert "x.mat cannot be read" in refused(lambda: read_proposals(tmp_path / "x.mat", SIZES))
    assert "y.mat is not there" in refused(lambda: read_proposals(tmp_path / "y.mat", SIZES))


def test_the_table_gives_back_what_was_written(tmp_path):
    boxes = BOXES | {"none": np.zeros((0, 4), np.float32)}
    path = tmp_path / "proposals.parquet"
    write_proposals(path, [(name, Proposed(f"of {name}", found)) for name, found in boxes.items()])
    read = read_proposals_table(path)
    assert same({name: one.boxes for name, one in read.items()}, boxes)
    assert [one.source for one in read.values()] == [f"of {name}" for name in boxes]


def test_without_opencv_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert "pip install '.[proposals]'" in refused(lambda: selective_search(np.zeros((32, 32, 3), np.uint8)))


def test_selective_search_gives_equal_boxes_each_time():
    pytest.importorskip("cv2.ximgproc", reason="opencv-contrib-python-headless is not installed: extra [proposals]")
    pixels = np.array(picture(60, 80))
    pixels[10:40, 20:50] = (250, 20, 20)
    found = selective_search(pixels)
    assert np.array_equal(found, selective_search(pixels))
    assert len(np.unique(found, axis=0)) == len(found) > 3
    assert (found[:, :2] >= 0).all() and (found[:, 2] <= 79).all() and (found[:, 3] <= 59).all()
    overlap = np.minimum(found[:, 2:], [49, 39]) - np.maximum(found[:, :2], [20, 10]) + 1
    area = (found[:, 2:] - found[:, :2] + 1).prod(axis=1)
    inter = overlap.clip(0).prod(axis=1)
    assert (inter / (area + 900 - inter)).max() > 0.8, "the red square is found"
