"""stages/pack.py run alone: chunks, the manifest, labels and sizes."""

import hashlib
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
import zarr
from pack_helpers import MIB, again, manifest, wide_pictures
from PIL import Image
from stage_helpers import Stopping, files, folder_of_pictures, pack_into, picture, project_with, save

from stages.artifacts.pictures import PackedImages


def test_every_picture_comes_back_as_its_file_shows_it(root, source):
    folder_of_pictures(source, 9)
    folder = pack_into(root)
    images = PackedImages(folder)
    assert len(images) == 9
    for index, name in enumerate(images.paths()):
        with Image.open(os.path.join(os.fsencode(source), name)) as image:
            assert np.array_equal(images[index], np.asarray(image))
        assert images[index].shape == (images.height[index], images.width[index], 3)


def test_a_packed_picture_cannot_be_written_to(root, source):
    folder_of_pictures(source, 1)
    with pytest.raises(ValueError, match="read-only"):
        PackedImages(pack_into(root))[0][0, 0, 0] = 1


def test_zarr_gives_the_same_pixels_as_our_reader(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    folder = pack_into(root)
    array = zarr.open_array(folder / "pixels.zarr", mode="r")
    images, table = PackedImages(folder), manifest(folder)
    assert (array.dtype, array.chunks, array.shape) == (np.uint8, (MIB,), (3 * MIB,))
    for row in table.itertuples():
        start = row.chunk * MIB + row.offset
        pixels = array[start : start + row.height * row.width * 3].reshape(row.height, row.width, 3)
        assert np.array_equal(pixels, images[row.image])


def test_no_picture_straddles_two_chunks_and_none_overlap(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    table = manifest(pack_into(root))
    end = table["offset"] + table["height"] * table["width"] * 3
    assert (end <= MIB).all()
    assert table["chunk"].nunique() == 3
    for _, rows in table.assign(end=end).groupby("chunk"):
        assert rows["offset"].tolist() == [0, *rows["end"].tolist()[:-1]]


def test_chunk_files_are_raw_and_padded_with_zeros(root, source):
    folder_of_pictures(source, 3)
    folder = pack_into(root)
    content = (folder / "pixels.zarr/c.0").read_bytes()
    used = int((manifest(folder)["height"] * manifest(folder)["width"] * 3).sum())
    assert len(content) == MIB
    assert content[used:] == bytes(MIB - used)


def test_columns_and_types_of_the_manifest(root, source):
    folder_of_pictures(source, 4)
    folder = pack_into(root)
    schema = pq.read_schema(folder / "manifest.parquet")
    # pandas 3 writes text as large_string, pandas 2 as string.
    assert {field.name: str(field.type).removeprefix("large_") for field in schema} == {
        "image": "int64",
        "path": "binary",
        "label": "int32",
        "chunk": "int32",
        "offset": "int64",
        "height": "int32",
        "width": "int32",
        "sha256": "string",
    }
    table = manifest(folder)
    assert table["image"].tolist() == [0, 1, 2, 3]
    assert table["path"].tolist() == [b"a/0000.png", b"a/0002.png", b"b/0001.png", b"b/0003.png"]


def test_the_digests_are_those_of_the_files(root, source):
    folder_of_pictures(source, 3)
    for row in manifest(pack_into(root)).itertuples():
        assert row.sha256 == hashlib.sha256((source / os.fsdecode(row.path)).read_bytes()).hexdigest()


def test_labels_are_the_first_folder_level_in_order_of_name(root, source):
    for name in ("dog/x/1.png", "cat/2.png", "loose.png"):
        save(source / name, picture(20, 20))
    folder = pack_into(root)
    info = json.loads((folder / "pack.json").read_text())
    table = manifest(folder)
    assert info["classes"] == ["cat", "dog"]
    assert info["labelled"] == 2
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        b"cat/2.png": 0,
        b"dog/x/1.png": 1,
        b"loose.png": -1,
    }


def test_without_labels_every_label_is_minus_one(root, source):
    project_with(root, str(source), labels=False)
    folder_of_pictures(source, 4)
    folder = pack_into(root)
    assert (manifest(folder)["label"] == -1).all()
    assert json.loads((folder / "pack.json").read_text())["classes"] == []


def test_pack_json_counts_and_its_digest_changes_with_a_pixel(root, source):
    folder_of_pictures(source, 4)
    folder = pack_into(root)
    first = json.loads((folder / "pack.json").read_text())
    assert (first["images"], first["rejected"], first["size"]) == (4, 0, 32)
    image = np.asarray(Image.open(source / "a/0000.png")).copy()
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(source / "a/0000.png")
    pack_into(root)
    assert json.loads((folder / "pack.json").read_text())["digest"] != first["digest"]


def test_the_short_side_becomes_the_size_of_the_data_set(root, source):
    save(source / "wide.png", picture(40, 90))
    save(source / "tall.png", picture(90, 40))
    save(source / "small.png", picture(10, 15))
    table = manifest(pack_into(root)).set_index("path")
    # int(32 * long / short), as torchvision computes it: 32 * 90 / 40 = 72, 32 * 15 / 10 = 48.
    sides = {name: (row.height, row.width) for name, row in table.iterrows()}
    assert sides == {b"wide.png": (32, 72), b"tall.png": (72, 32), b"small.png": (32, 48)}


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_turned_photograph_is_packed_upright(root, source, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(source / "turned.jpg", picture(32, 64), quality=95, exif=exif)
    row = manifest(pack_into(root)).iloc[0]
    assert (row["height"], row["width"]) == ((64, 32) if orientation >= 5 else (32, 64))


def test_packing_twice_gives_the_same_bytes(root, source):
    folder_of_pictures(source, 6)
    (source / "a/broken.jpg").write_bytes(b"broken")
    first = files(pack_into(root))
    assert files(pack_into(root)) == first
    assert files(pack_into(again(root))) == first


def test_a_data_set_is_packed_whatever_the_runs_want_of_it(root, source):
    """Packing depends on the data set's own keys: no run of small pictures need exist yet, and none can forbid it."""
    folder_of_pictures(source, 2)
    project_with(root, str(source), size=20)
    content = yaml.safe_load((root / "params.yaml").read_text())
    del content["runs"]["mine"]
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    assert len(manifest(pack_into(root))) == 2


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b" blank.jpg", b"#1.jpg", b"two\nlines.jpg"])
def test_a_strange_name_is_stored_as_its_bytes(root, source, name):
    source.mkdir()
    plain = save(source / "plain.jpg", picture(20, 30))
    os.rename(plain, os.path.join(os.fsencode(source), name))
    assert manifest(pack_into(root))["path"].tolist() == [name]


def test_a_class_whose_name_is_not_utf8_is_kept(root, source):
    folder = os.path.join(os.fsencode(source), b"caf\xe9")
    os.makedirs(folder)
    os.rename(save(source / "1.png", picture(20, 20)), folder + b"/1.png")
    save(source / "b/2.png", picture(20, 20))
    packed = PackedImages(pack_into(root))
    assert [os.fsencode(name) for name in packed.classes] == [b"b", b"caf\xe9"]
    assert packed.label.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("folders", "classes", "told"),
    [
        (["a"], [], "no labels, since there is one folder alone (a)"),
        (["2023-05-01", "20230502", "2024", "2024_11"], [], "no labels, since the folders are dates (2023-05-01, 2023"),
        (["2023", "cats"], ["2023", "cats"], "labels are the 2 folders (2023, cats)"),
        (["b", "a", "c", "d"], ["a", "b", "c", "d"], "labels are the 4 folders (a, b, c, …)"),
    ],
)
def test_what_was_taken_for_classes_is_told_with_the_key_that_turns_it_off(root, source, folders, classes, told):
    for number, name in enumerate([*folders, "."]):
        save(source / name / f"{number}.png", picture(32, 32, number))
    report = Stopping()
    folder = pack_into(root, report)
    packed = PackedImages(folder)
    assert packed.classes == classes
    assert set(packed.label) == ({-1, *range(len(classes))} if classes else {-1})
    assert told in report.told
    assert ("datasets.mine.labels=false" in report.told) is bool(classes)


def test_exact_copies_are_told(root, source):
    folder_of_pictures(source, 4)
    for name in ("a/x.png", "b/y.png"):
        (source / name).write_bytes((source / "a/0000.png").read_bytes())
    report = Stopping()
    pack_into(root, report)
    assert "2 are copies of others, byte for byte" in report.told
