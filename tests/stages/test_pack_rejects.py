"""stages/pack.py run alone: what is rejected and refused, and what must not be touched."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from pack_helpers import again, manifest, rejected
from PIL import Image, ImageFile
from stage_helpers import (
    Stopping,
    files,
    folder_of_pictures,
    pack_into,
    picture,
    project_with,
    published,
    refused,
    save,
)

from stages.artifacts.pictures import PackedImages


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
