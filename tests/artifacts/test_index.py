"""stages/artifacts/index.py: what the index gives back, its digest, and what a split lacks."""

import json
import shutil

import numpy as np
import pytest
from set_helpers import drawn, entry, looked, small_voc, write
from stage_helpers import refused

from stages.artifacts.index import EvaluationIndex, write_index
from stages.runtime.prefetch import prefetch
from stages.sources.sets import look_through, read_whole, survey

FILES = ("index.parquet", "queries.parquet", "index.json")


def indexed(root, of, out="out", each=map):
    (root / out).mkdir(exist_ok=True)
    found = survey(root, of)
    write_index(root / out, found, look_through(found, each))
    return EvaluationIndex(root / out, root / of.path)


def test_the_index_gives_back_what_was_looked_at(tmp_path):
    of = drawn(tmp_path, "voc")
    index = indexed(tmp_path, of)
    found = looked(tmp_path, of)
    rows = index.rows("trainval", "Main")
    assert len(index) == 30 and len(rows) == 20 and rows.tolist() == sorted(rows)
    labels = index.labels(rows)
    assert labels.dtype == np.int8 and [*map(tuple, labels)] == [found[row].wanted.labels for row in rows]
    for row, one in enumerate(found):
        objects = index.objects(row)
        for name in ("boxes", "classes", "difficult", "truncated"):
            ours, theirs = getattr(objects, name), getattr(one.objects, name)
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
        assert index.picture(row).shape == (one.height, one.width, 3)
        assert index.mask(row).shape == (index.height[row], index.width[row])
    assert index.info["splits"]["Segmentation/test"] == 10 and index.info["objects"] == sum(
        len(one.objects.boxes) for one in found
    )


def test_a_split_that_the_set_has_not_is_refused_with_those_that_it_has(tmp_path):
    small_voc(tmp_path)
    index = indexed(tmp_path, entry("voc"))
    assert "no split test in Main (there are: Main/train, Segmentation/train)" in refused(
        lambda: index.rows("test", "Main")
    )


def test_what_a_picture_lacks_is_refused_before_it_is_opened(tmp_path):
    folder = small_voc(tmp_path)
    write(folder, {"ImageSets/Main/test.txt": "000002\n000009\n"})
    shutil.copy(folder / "JPEGImages/000001.jpg", folder / "JPEGImages/000009.jpg")
    index = indexed(tmp_path, entry("voc"))
    rows = index.rows("test", "Main")
    for column in ("labels", "boxes", "mask"):
        line = refused(lambda column=column: index.refuse_lacking(rows, column))
        assert f"000009 has no {column} in this set" in line
    index.refuse_lacking(index.rows("train", "Main"), "mask")


def test_a_picture_without_objects_is_not_one_without_annotation(tmp_path):
    folder = small_voc(tmp_path)
    write(folder, {"Annotations/000001.xml": "<annotation/>"})
    index = indexed(tmp_path, entry("voc"))
    assert index.objects(0).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "name",
    [
        "JPEGImages/000001.jpg",
        "Annotations/000002.xml",
        "SegmentationClass/000001.png",
        "ImageSets/Main/cat_train.txt",
        "ImageSets/Segmentation/train.txt",
    ],
)
def test_a_byte_of_any_file_changes_the_digest(tmp_path, name):
    folder = small_voc(tmp_path)
    before = indexed(tmp_path, entry("voc")).info["digest"]
    assert indexed(tmp_path, entry("voc")).info["digest"] == before
    path = folder / name
    # Decoders and parsers pass over what follows the end.
    path.write_bytes(path.read_bytes() + b"\n")
    assert indexed(tmp_path, entry("voc")).info["digest"] != before


def test_workers_and_another_place_change_no_byte(tmp_path):
    of = drawn(tmp_path, "landmarks")
    indexed(tmp_path, of)
    (tmp_path / "set").rename(tmp_path / "moved")
    moved = of.model_copy(update={"path": "moved"})
    indexed(tmp_path, moved, "again", lambda look, items: prefetch(look, items, 3))
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_the_summary_names_no_time_and_no_place(tmp_path):
    small_voc(tmp_path)
    indexed(tmp_path, entry("voc"))
    content = json.loads((tmp_path / "out/index.json").read_text())
    assert str(tmp_path) not in json.dumps(content)
    assert content["layout"] == "voc" and content["images"] == content["masks"] == 2 and content["queries"] == 0


def test_a_picture_is_read_at_its_own_size_and_upright(tmp_path):
    from PIL import Image

    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, :15] = 255
    options = Image.Exif()
    options[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=options)
    found = read_whole(tmp_path / "x.png")
    assert found.shape == (30, 10, 3) and found[:15].all() and not found[15:].any()
    assert "y.png" in refused(lambda: read_whole(tmp_path / "y.png"))
