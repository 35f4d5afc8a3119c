"""stages/pack.py run alone: chunks, manifest, rejects, save points, and what must not be touched."""

import hashlib
import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
import zarr
from PIL import Image, ImageFile
from stage_helpers import (
    FullDisk,
    Stopping,
    files,
    folder_of_pictures,
    pack_into,
    picture,
    project_with,
    published,
    refused,
    remove,
    save,
    tmpfs,
)

from stages.artifacts.pictures import PackedImages

MIB = 2**20


@pytest.fixture
def source(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def root(tmp_path, source):
    project_with(tmp_path / "project", str(source))
    return tmp_path / "project"


def again(root, name="other", **dataset):
    """Another project on the same pictures, never stopped."""
    twin = root.parent / name
    source = str(root.parent / "pictures")
    project_with(twin, source, **dataset)
    return twin


def manifest(folder):
    return pd.read_parquet(folder / "manifest.parquet")


def rejected(folder):
    frame = pd.read_parquet(folder / "rejected.parquet")
    return dict(zip(frame["path"], frame["reason"], strict=True))


def wide_pictures(source, count):
    """Pictures of 108 kB at size 60, nine to a chunk of one MiB."""
    for number in range(count):
        save(source / "ab"[number % 2] / f"{number:03d}.png", picture(60, 600, number))


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


def test_unreadable_files_are_rejected_with_their_reason_and_the_run_goes_on(root, source):
    folder_of_pictures(source, 4)
    whole = save(source / "a/cut.jpg", picture(200, 200)).read_bytes()
    (source / "a/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "a/text.png").write_bytes(b"no picture at all")
    (source / "b/empty.jpg").write_bytes(b"")
    save(source / "b/long.png", picture(1, 1000))
    os.symlink("nowhere", source / "b/gone.jpg")
    report = Stopping()
    folder = pack_into(root, report)
    reasons = rejected(folder)
    assert set(reasons) == {b"a/cut.jpg", b"a/text.png", b"b/empty.jpg", b"b/long.png", b"b/gone.jpg"}
    assert "truncated" in reasons[b"a/cut.jpg"]
    assert "aspect ratio 1000:1" in reasons[b"b/long.png"]
    assert len(manifest(folder)) == 4
    info = json.loads((folder / "pack.json").read_text())
    assert (info["images"], info["rejected"]) == (4, 5)
    assert "4 pictures packed; 5 rejected" in report.told
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_reasons_hold_no_address_in_memory(root, source):
    """PIL says "cannot identify image file <_io.BytesIO object at 0x7f…>": another text each time it is packed."""
    folder_of_pictures(source, 1)
    (source / "a/text.png").write_bytes(b"no picture at all")
    first = files(pack_into(root))
    assert b"0x" not in rejected(root / "data/images/mine")[b"a/text.png"].encode()
    assert files(pack_into(again(root))) == first


def test_rejects_do_not_shift_the_pictures_after_them(root, source):
    folder_of_pictures(source, 6)
    (source / "a/0001.png").write_bytes(b"broken")
    folder = pack_into(root)
    table, images = manifest(folder), PackedImages(folder)
    assert table["image"].tolist() == list(range(6))
    for row in table.itertuples():
        assert np.array_equal(images[row.image], np.asarray(Image.open(source / os.fsdecode(row.path))))


def test_a_folder_without_one_readable_picture_is_refused_with_a_reason(root, source):
    source.mkdir()
    (source / "1.png").write_bytes(b"no picture")
    line = refused(lambda: pack_into(root))
    assert str(source) in line
    assert published(root / "data/images/mine") == []


def test_the_input_folder_is_never_written_to(root, source):
    folder_of_pictures(source, 6)
    (source / "a/broken.png").write_bytes(b"broken")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in [source, *source.rglob("*")]}
    content = files(source)
    pack_into(root)
    assert files(source) == content
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in [source, *source.rglob("*")]} == before


def test_a_folder_that_may_only_be_read_is_packed(root, source):
    folder_of_pictures(source, 2)
    for path in [*source.rglob("*"), source]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        assert len(manifest(pack_into(root))) == 2
    finally:
        for path in [source, *source.iterdir()]:
            path.chmod(0o700)


@pytest.mark.parametrize("place", [".", "data"])
def test_pictures_around_the_output_are_refused_before_any_work(tmp_path, place):
    root = tmp_path / "project"
    project_with(root, place)
    folder_of_pictures(root / place, 2)
    assert "output lies inside --images" in refused(lambda: pack_into(root))
    assert published(root / "data/images/mine") == []


def test_packing_twice_gives_the_same_bytes(root, source):
    folder_of_pictures(source, 6)
    (source / "a/broken.jpg").write_bytes(b"broken")
    first = files(pack_into(root))
    assert files(pack_into(root)) == first
    assert files(pack_into(again(root))) == first


@pytest.mark.parametrize("after", [8, 17, 24])
def test_a_stopped_pack_goes_on_after_the_last_closed_chunk_and_gives_the_same_bytes(root, source, after):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    (source / "a/000.png").write_bytes(b"broken")
    (source / "b/023.png").write_bytes(b"broken")
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(after))
    assert published(root / "data/images/mine") == []
    report = Stopping()
    folder = pack_into(root, report)
    # 25 files give 23 pictures, 9 to a chunk: what lies in closed chunks is not read again.
    assert report.totals[0] is not None
    assert report.totals[0] < 25 or after < 10
    assert files(folder) == files(pack_into(again(root, size=60)))


def test_a_chunk_cut_short_after_the_stop_is_made_again(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    chunk = root / "data/images/mine/.partial-pack/pixels.zarr/c.1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    assert files(pack_into(root)) == files(pack_into(again(root, size=60)))


def test_a_picture_changed_after_the_stop_is_not_taken_from_the_save_point(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    save(source / "a/000.png", picture(60, 600, 77))
    report = Stopping()
    folder = pack_into(root, report)
    assert report.totals == [25]
    assert files(folder) == files(pack_into(again(root, size=60)))


def test_a_data_set_is_packed_whatever_the_runs_want_of_it(root, source):
    """Packing depends on the data set's own keys: no run of small pictures need exist yet, and none can forbid it."""
    folder_of_pictures(source, 2)
    project_with(root, str(source), size=20)
    content = yaml.safe_load((root / "params.yaml").read_text())
    del content["runs"]["mine"]
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    assert len(manifest(pack_into(root))) == 2


def test_another_size_after_the_stop_starts_anew(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    project_with(root, str(source), size=50)
    assert files(pack_into(root)) == files(pack_into(again(root, size=50)))


@pytest.mark.parametrize("after", [None, 500], ids=["at once", "resumed"])
def test_a_chunk_full_of_black_pictures_is_there_and_reads_as_zeros(root, source, after):
    """zarr writes no file for a chunk of zeros, and reads a missing file as zeros: nobody would notice."""
    project_with(root, str(source), size=32)
    black = save(source / "black/0000.png", Image.new("RGB", (32, 32)))
    for number in range(1, 1000):
        (source / f"black/{number:04d}.png").write_bytes(black.read_bytes())
    if after is not None:
        with pytest.raises(KeyboardInterrupt):
            pack_into(root, Stopping(after))
    folder = pack_into(root)
    images = PackedImages(folder)
    # 341 pictures of 3,072 bytes to a chunk: three chunks, two of them full.
    assert sorted(path.name for path in (folder / "pixels.zarr").glob("c.*")) == ["c.0", "c.1", "c.2"]
    assert len(images) == 1000
    assert not any(images[i].any() for i in (0, 341, 500, 999))


@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_a_damaged_chunk_of_pixels_is_named_with_the_command_that_helps(root, source, damage):
    folder_of_pictures(source, 3)
    folder = pack_into(root)
    chunk = folder / "pixels.zarr/c.0"
    chunk.unlink() if damage == "deleted" else os.truncate(chunk, 100)
    line = refused(lambda: PackedImages(folder)[0])
    assert str(chunk) in line
    assert "rerun pack --dataset mine" in line


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
    packed = PackedImages(pack_into(root))
    assert [os.fsencode(name) for name in packed.classes] == [b"caf\xe9"]
    assert packed.label.tolist() == [0]


def test_a_list_of_paths_is_packed_in_its_order_with_its_bad_lines_rejected(root, source, tmp_path):
    folder_of_pictures(source, 3)
    listed = source / "list.txt"
    listed.write_bytes(b"b/0001.png\r\n\r\na/0002.png\r\na/absent.png\r\nb/0001.png\r\na/0000.png")
    project_with(root, str(listed), labels=False)
    folder = pack_into(root)
    assert manifest(folder)["path"].tolist() == [b"b/0001.png", b"a/0002.png", b"a/0000.png"]
    reasons = rejected(folder)
    assert reasons[b"a/absent.png"].startswith("line 4: ")
    assert reasons[b"b/0001.png"] == "line 5: repeats line 1"


def test_the_rejected_table_has_its_columns_when_nothing_was_rejected(root, source):
    folder_of_pictures(source, 1)
    table = pd.read_parquet(pack_into(root) / "rejected.parquet")
    assert list(table.columns) == ["path", "reason"]
    assert len(table) == 0


def test_a_full_disk_at_any_write_is_one_line_and_leaves_nothing_under_a_final_name(root, source, monkeypatch):
    project_with(root, str(source), size=60)
    wide_pictures(source, 12)
    whole = files(pack_into(again(root, size=60)))
    folder = root / "data/images/mine"
    disk = FullDisk(monkeypatch, folder)
    for fails_at in range(100):
        remove(folder)
        disk.arm(fails_at)
        try:
            pack_into(root)
        except Exception as error:
            assert disk.reached
            assert "no space left" in str(error), f"write {fails_at}: {error!r}"
            assert str(folder) in str(error)
            assert str(error).count(" MB") == 2
            assert published(folder) == []
        else:
            break
        disk.arm(-1)
        assert files(pack_into(root)) == whole
    assert fails_at > 8
    assert not disk.reached


@pytest.mark.slow
def test_a_small_disk_that_fills_up_while_packing(root, source, tmp_path):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    folder = root / "data/images/mine"
    with tmpfs(folder, "2500k") as resize:
        line = refused(lambda: pack_into(root))
        assert "no space left" in line
        assert str(folder) in line
        assert "needs 1.0 MB" in line
        assert published(folder) == []
        resize("64m")
        assert files(pack_into(root)) == files(pack_into(again(root, size=60)))
