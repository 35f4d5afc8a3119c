"""stages/sources/listing.py: which pictures a folder or a list holds, under names that lead back to the files."""

import os
import time

import pytest
from stage_helpers import project_with, refused

from stages.parameters.dataset import DatasetParams
from stages.sources.listing import list_source, refuse_inside


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(source):
    return [entry.name for entry in list_source(source).entries]


def test_pictures_come_in_order_of_name_from_every_depth(tmp_path):
    for name in ("b/2.png", "b/1.png", "a/deep/er/3.JPG", "0.webp", "c.bmp", "d.TIFF", "e.jpeg", "f.tif"):
        touch(tmp_path / name)
    assert names(tmp_path) == [
        b"0.webp", b"a/deep/er/3.JPG", b"b/1.png", b"b/2.png", b"c.bmp", b"d.TIFF", b"e.jpeg", b"f.tif",
    ]  # fmt: skip


def test_the_class_is_the_first_folder_level(tmp_path):
    for name in ("loose.png", "cat/1.png", "dog/small/2.png"):
        touch(tmp_path / name)
    assert {e.name: e.folder for e in list_source(tmp_path).entries} == {
        b"loose.png": None,
        b"cat/1.png": b"cat",
        b"dog/small/2.png": b"dog",
    }


def test_other_files_are_counted_by_their_ending(tmp_path):
    for name in ("1.png", "notes.txt", "more.txt", "LICENSE"):
        touch(tmp_path / name)
    listing = list_source(tmp_path)
    assert names(tmp_path) == [b"1.png"]
    assert dict(listing.ignored) == {".txt": 2, "no ending": 1}


@pytest.mark.parametrize(
    "name", [b" leading blank.jpg", b"two  blanks.png", b"#1.jpg", b"caf\xe9.jpg", b"new\nline.png"]
)
def test_strange_names_lead_back_to_their_file(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"content")
    entry = list_source(tmp_path).entries[0]
    assert entry.name == name
    with open(entry.path, "rb") as file:
        assert file.read() == b"content"


def test_a_link_to_the_root_a_linked_folder_and_a_dangling_link(tmp_path):
    """Each real file once, the linked class there, and no endless walk."""
    root, elsewhere = tmp_path / "images", tmp_path / "disk"
    touch(root / "a/1.png")
    touch(root / "b/2.png")
    touch(elsewhere / "3.png")
    (root / "a/up").symlink_to(root)
    (root / "c").symlink_to(elsewhere)
    (root / "a/gone.png").symlink_to(root / "nowhere.png")
    started = time.monotonic()
    listing = list_source(root)
    assert time.monotonic() - started < 5
    assert [e.name for e in listing.entries] == [b"a/1.png", b"b/2.png", b"c/3.png"]
    assert [name for name, _ in listing.rejected] == [b"a/gone.png"]
    assert "leads nowhere" in listing.rejected[0][1]


def test_a_linked_class_is_walked_to_its_depth(tmp_path):
    root, elsewhere = tmp_path / "images", tmp_path / "disk"
    touch(root / "a/1.png")
    touch(elsewhere / "deep/2.png")
    (elsewhere / "back").symlink_to(root)
    (root / "c").symlink_to(elsewhere)
    assert names(root) == [b"a/1.png", b"c/deep/2.png"]


def test_a_file_and_a_link_to_it_are_one_picture_under_the_real_name(tmp_path):
    touch(tmp_path / "b/real.png")
    (tmp_path / "a.png").symlink_to(tmp_path / "b/real.png")
    assert names(tmp_path) == [b"b/real.png"]


def test_two_links_to_one_file_elsewhere_are_one_picture(tmp_path):
    touch(tmp_path / "disk/real.png")
    (tmp_path / "images").mkdir()
    for name in ("x.png", "y.png"):
        (tmp_path / "images" / name).symlink_to(tmp_path / "disk/real.png")
    assert names(tmp_path / "images") == [b"x.png"]


def test_a_link_to_itself_ends_and_is_rejected(tmp_path):
    touch(tmp_path / "1.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    listing = list_source(tmp_path)
    assert [e.name for e in listing.entries] == [b"1.png"]
    assert [name for name, _ in listing.rejected] == [b"loop.png"]


def write_list(tmp_path, content):
    for name in ("one.png", "two.png", " blank.png"):
        touch(tmp_path / "pictures" / name)
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    return path


def test_paths_in_a_list_are_relative_to_the_list_and_keep_its_order(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    source = write_list(tmp_path, b"pictures/two.png\npictures/one.png\n")
    assert names(source) == [b"pictures/two.png", b"pictures/one.png"]
    assert all(os.path.exists(entry.path) for entry in list_source(source).entries)


def test_an_absolute_path_in_a_list_is_taken_as_it_is(tmp_path):
    path = touch(tmp_path / "elsewhere/3.png")
    assert names(write_list(tmp_path, os.fsencode(path) + b"\n")) == [os.fsencode(path)]


def test_line_ends_of_windows_empty_lines_and_a_missing_last_line_end(tmp_path):
    source = write_list(tmp_path, b"pictures/one.png\r\n\r\n\npictures/ blank.png\r\npictures/two.png")
    assert names(source) == [b"pictures/one.png", b"pictures/ blank.png", b"pictures/two.png"]


def test_repeated_and_absent_lines_are_rejected_with_their_number(tmp_path):
    source = write_list(tmp_path, b"pictures/one.png\n\npictures/absent.png\npictures/one.png\r\npictures/two.png\n")
    rejected = dict(list_source(source).rejected)
    assert rejected[b"pictures/absent.png"].startswith("line 3: ")
    assert rejected[b"pictures/one.png"] == "line 4: repeats line 1"
    assert names(source) == [b"pictures/one.png", b"pictures/two.png"]


def test_a_line_that_names_a_folder_is_rejected_with_its_number(tmp_path):
    source = write_list(tmp_path, b"pictures/one.png\npictures\n")
    listing = list_source(source)
    assert [e.name for e in listing.entries] == [b"pictures/one.png"]
    assert listing.rejected[0][1].startswith("line 2: ")


def test_a_list_starting_with_a_byte_order_mark_loses_no_line(tmp_path):
    """Notepad writes one; the first picture would be told absent."""
    assert names(write_list(tmp_path, b"\xef\xbb\xbfpictures/one.png\n")) == [b"pictures/one.png"]


def test_names_in_a_list_need_not_be_utf8(tmp_path):
    source = write_list(tmp_path, b"pictures/caf\xe9.jpg\n")
    with open(os.fsencode(tmp_path) + b"/pictures/caf\xe9.jpg", "wb") as file:
        file.write(b"x")
    assert names(source) == [b"pictures/caf\xe9.jpg"]


def test_a_line_with_a_null_byte_is_rejected(tmp_path):
    source = write_list(tmp_path, b"pictures/one.png\nbad\0name.png\n")
    assert list_source(source).rejected[0][1].startswith("line 2: ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_list_in_another_encoding_of_windows_is_read(tmp_path, encoding):
    source = write_list(tmp_path, "pictures/one.png\r\npictures/two.png\r\n".encode(encoding))
    assert names(source) == [b"pictures/one.png", b"pictures/two.png"]


def test_a_list_in_utf_16_without_its_mark_is_refused_with_a_line_and_the_reason(tmp_path):
    line = refused(lambda: list_source(write_list(tmp_path, "pictures/one.png\n".encode("utf-16-le"))))
    assert "(line 1: a zero byte in the name" in line and "is the list UTF-8?" in line


def test_quotes_around_names_are_told_with_the_line(tmp_path):
    line = refused(lambda: list_source(write_list(tmp_path, b'"pictures/one.png"\n"pictures/two.png"\n')))
    assert "2 cannot be opened" in line and "line 1: No such file or directory (its quotes are taken as part" in line


def test_where_no_picture_can_be_read_what_was_found_is_told(tmp_path):
    for name in ("1.HEIC", "2.heic", "3.gif", "notes.txt", ".thumbnails/1.jpg"):
        touch(tmp_path / name)
    line = refused(lambda: list_source(tmp_path))
    assert f"{tmp_path} holds no pictures" in line
    for words in (
        "1 .HEIC",
        "1 .heic",
        "1 .gif",
        "convert them, or `pip install pillow-heif`",
        "1 .txt",
        ".thumbnails",
    ):
        assert words in line


def test_formats_that_are_not_read_are_not_called_no_pictures(tmp_path):
    for name in ("1.png", "2.avif", "3.GIF", "notes.txt"):
        touch(tmp_path / name)
    assert list_source(tmp_path).beside() == [
        "pictures of a format that is not read: 1 .GIF, 1 .avif (convert them)",
        "files that are no pictures ignored: 1 .txt",
    ]


def test_looking_through_links_takes_one_look_at_each(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number in range(200):
        touch(tmp_path / f"disk/{number}.png")
        (tmp_path / f"images/{number}.png").symlink_to(tmp_path / f"disk/{number}.png")
    looks = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: looks.append(path) or stat(path, **options))
    assert len(list_source(tmp_path / "images").entries) == 200
    assert len(looks) < 2.1 * 200


@pytest.mark.parametrize("kind", ["absent", "empty", "no pictures", "empty list"])
def test_a_source_without_pictures_is_refused_by_name(tmp_path, kind):
    source = tmp_path / "source"
    if kind in ("empty", "no pictures"):
        source.mkdir()
    if kind == "no pictures":
        touch(source / "notes.txt")
    if kind == "empty list":
        touch(source, b"\n\n")
    assert str(source) in refused(lambda: list_source(source))


def test_the_digest_follows_names_sizes_times_and_rejects(tmp_path):
    one = touch(tmp_path / "1.png")
    digests = [list_source(tmp_path).digest()]
    assert list_source(tmp_path).digest() == digests[0]
    os.utime(one, ns=(1, 1))
    digests.append(list_source(tmp_path).digest())
    one.write_bytes(b"longer")
    os.utime(one, ns=(1, 1))
    digests.append(list_source(tmp_path).digest())
    touch(tmp_path / "2.png")
    digests.append(list_source(tmp_path).digest())
    (tmp_path / "3.png").symlink_to(tmp_path / "absent.png")
    digests.append(list_source(tmp_path).digest())
    assert len(set(digests)) == 5


@pytest.mark.parametrize("source", [".", "data", "data/images", "data/images/mine", "link"])
def test_output_inside_the_pictures_is_refused(tmp_path, source):
    folder = project_with(tmp_path / "project", source)
    folder.mkdir(parents=True)
    (tmp_path / "project/link").symlink_to(tmp_path / "project")
    dataset = DatasetParams(name="mine", path=source, size=20)
    line = refused(lambda: refuse_inside(tmp_path / "project" / source, folder, dataset))
    assert "output lies inside --images" in line


@pytest.mark.parametrize("source", ["data/images/mine/pictures", "photographs", "data/images/mi"])
def test_pictures_beside_or_below_the_output_are_allowed(tmp_path, source):
    folder = project_with(tmp_path / "project", source)
    (tmp_path / "project" / source).mkdir(parents=True)
    refuse_inside(tmp_path / "project" / source, folder, DatasetParams(name="mine", path=source, size=20))
