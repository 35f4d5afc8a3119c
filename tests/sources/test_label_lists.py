"""stages/sources/lists.py: lists whose lines end in the number of a class, as ImageNet's val and Places205's lists."""

import os

import pytest
from stage_helpers import refused

from stages.parameters.dataset import DatasetParams
from stages.sources.listing import list_dataset, list_source


def make(root, lines, classes="cat\ndog\n"):
    for name in ("one.png", "two 2.png", "three.png"):
        (root / "val").mkdir(exist_ok=True)
        (root / "val" / name).write_bytes(b"x")
        os.utime(root / "val" / name, ns=(1, 1))
    (root / "val.txt").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    (root / "classes.txt").write_text(classes)
    return root / "val.txt", root / "classes.txt"


def listed(root, lines, classes="cat\ndog\n"):
    source, names = make(root, lines, classes)
    return list_source(source, classes=names)


def labels(root, lines, classes="cat\ndog\n"):
    return [(entry.name.decode(), entry.label) for entry in listed(root, lines, classes).entries]


def test_lines_are_parted_at_their_last_blank(tmp_path):
    found = labels(tmp_path, "val/one.png 1\nval/two 2.png 0\nval/three.png\t1\n")
    assert found == [("val/one.png", 1), ("val/two 2.png", 0), ("val/three.png", 1)]


def test_line_ends_of_windows_and_several_blanks(tmp_path):
    assert labels(tmp_path, b"val/one.png   1\r\n\r\nval/two 2.png 0 \r\n") == [
        ("val/one.png", 1),
        ("val/two 2.png", 0),
    ]


def test_without_classes_a_line_is_a_path_as_it_stands(tmp_path):
    source, _ = make(tmp_path, "val/two 2.png\nval/one.png\nval/one.png 1\n")
    listing = list_source(source)
    assert [(entry.name, entry.label) for entry in listing.entries] == [(b"val/two 2.png", -1), (b"val/one.png", -1)]
    assert listing.rejected[0][0] == b"val/one.png 1"
    assert listing.classes(True) == ([], "")


def test_the_classes_are_those_of_the_file_whatever_folders_there_are(tmp_path):
    listing = listed(tmp_path, "val/one.png 1\n")
    assert listing.classes(True) == ([b"cat", b"dog"], "labels are the 2 classes of the list")
    assert listing.classes(False) == ([], "")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("tench, Tinca tinca\ngoldfish\n", [b"tench, Tinca tinca", b"goldfish"]),
        ("/b/bar 1\r\n/a/abbey 0\r\n", [b"/a/abbey", b"/b/bar"]),
        # Numbers that are not those of the lines belong to the names.
        ("boeing 747\nairbus 320\n", [b"boeing 747", b"airbus 320"]),
    ],
)
def test_files_of_classes_with_and_without_numbers(tmp_path, content, names):
    assert listed(tmp_path, "val/one.png 1\n", content).named == names


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("val/one.png 1\nval/three.png 2\n", "line 2: class 2, and the file of the classes has 2, numbered from 0"),
        ("val/one.png -1\n", "line 1: class -1"),
        ("\nval/one.png\n", "line 2: 'val/one.png' does not end in a blank and the number of a class"),
        ("val/one.png cat\n", "line 1: 'val/one.png cat' does not end in"),
        ("1\n", "line 1: '1' does not end in"),
    ],
)
def test_a_line_without_a_class_of_the_file_is_refused_with_its_number(tmp_path, lines, told):
    line = refused(lambda: listed(tmp_path, lines))
    assert "val.txt" in line and told in line


def test_files_of_classes_that_say_nothing_are_refused(tmp_path):
    assert "names no class" in refused(lambda: listed(tmp_path, "val/one.png 0\n", "\n"))
    assert "'cat' twice" in refused(lambda: listed(tmp_path, "val/one.png 0\n", "cat\ncat\n"))


def test_a_folder_with_a_file_of_classes_is_refused(tmp_path):
    _, names = make(tmp_path, "")
    assert "its folders are classes" in refused(lambda: list_source(tmp_path / "val", classes=names))


def test_absent_and_repeated_lines_keep_their_numbers(tmp_path):
    listing = listed(tmp_path, "val/none.png 0\nval/one.png 1\nval/one.png 0\n")
    assert [reason for _, reason in listing.rejected] == [
        "line 1: No such file or directory",
        "line 3: repeats line 2",
    ]


def test_the_digest_follows_labels_and_classes(tmp_path):
    first = listed(tmp_path, "val/one.png 1\n").digest()
    assert listed(tmp_path, "val/one.png 1\n").digest() == first
    assert listed(tmp_path, "val/one.png 0\n").digest() != first
    assert listed(tmp_path, "val/one.png 1\n", "cat\ncow\n").digest() != first


def test_a_data_sets_classes_are_relative_to_the_project(tmp_path):
    make(tmp_path, "val/one.png 1\n")
    dataset = DatasetParams(name="val", path="val.txt", size=20, classes="classes.txt")
    assert list_dataset(tmp_path, dataset, tmp_path / "data/images/val").entries[0].label == 1
