"""stages/sources/voc.py: VOC as it lies, what is missing of it, and lists that do not fit."""

import numpy as np
import pytest
from set_helpers import drawn, entry, looked, small_voc, write
from stage_helpers import refused

from stages.sources.sets import look_over, survey
from stages.sources.voc import VOC_CLASSES


def test_a_small_devkit_is_whole_and_has_vocs_classes_in_their_order(tmp_path):
    small_voc(tmp_path)
    found = survey(tmp_path, entry("voc"))
    assert found.classes == VOC_CLASSES and len(VOC_CLASSES) == 20
    assert [str(part) for part in found.parts] == ["2 pictures", "2 annotations", "2 masks"]
    assert found.splits == {"Main/train": 2, "Segmentation/train": 2}
    assert [one.labels[7] for one in found.wanted] == [1, 1]
    assert sum(map(sum, (one.labels for one in found.wanted))) == 2 - 38


def test_boxes_count_from_0(tmp_path):
    small_voc(tmp_path)
    objects = looked(tmp_path, entry("voc"))[0].objects
    assert objects.boxes.tolist() == [[1, 2, 19, 14]] and objects.classes.tolist() == [7]


def test_the_class_train_and_the_split_train_are_two_things(tmp_path):
    """train_val.txt holds the class train in the split val; train.txt is a split."""
    folder = small_voc(tmp_path, split="val")
    write(folder, {"ImageSets/Main/train_val.txt": "000001 -1\n000002  1\n"})
    found = survey(tmp_path, entry("voc"))
    assert found.splits == {"Main/val": 2, "Segmentation/val": 2}
    assert [one.labels[VOC_CLASSES.index("train")] for one in found.wanted] == [-1, 1]


def test_lists_with_the_line_ends_of_windows_and_difficult_labels_are_read(tmp_path):
    folder = small_voc(tmp_path)
    write(folder, {"ImageSets/Main/train.txt": b"000001\r\n000002\r\n"})
    write(folder, {"ImageSets/Main/dog_train.txt": b"000001  0\r\n000002 -1\r\n"})
    assert [one.labels[11] for one in survey(tmp_path, entry("voc")).wanted] == [0, -1]


def test_a_half_downloaded_set_is_told_in_numbers_and_refused_in_one_line(tmp_path):
    names = tuple(f"{number:06d}" for number in range(1, 1201))
    folder = small_voc(tmp_path, names[:3])
    listed = "".join(f"{name}\n" for name in names)
    write(folder, {"ImageSets/Main/train.txt": listed})
    write(folder, {f"ImageSets/Main/{label}_train.txt": listed.replace("\n", " -1\n") for label in VOC_CLASSES})
    (folder / "JPEGImages/000002.jpg").unlink()
    parts = [str(part) for part in look_over(tmp_path, entry("voc"))]
    assert parts == [
        "2 of 1,200 pictures, first missing: JPEGImages/000002.jpg",
        "3 of 1,200 annotations, first missing: Annotations/000004.xml",
        "3 masks",
    ]
    line = refused(lambda: looked(tmp_path, entry("voc")))
    assert line.startswith(f"{folder}: ") and all(part in line for part in parts)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_class_file_is_named(tmp_path, split):
    folder = small_voc(tmp_path, split=split)
    (folder / f"ImageSets/Main/cow_{split}.txt").unlink()
    line = refused(lambda: survey(tmp_path, entry("voc")))
    assert f"cow_{split}.txt is missing: 19 of 20 class files of {split}" in line


def test_a_split_without_any_class_file_has_neither_labels_nor_boxes(tmp_path):
    """VOC 2012's test: its labels are not public."""
    folder = small_voc(tmp_path)
    write(folder, {"ImageSets/Main/test.txt": "000009\n", "JPEGImages/000009.jpg": b""})
    found = survey(tmp_path, entry("voc"))
    assert found.parts[1].wanted == 2 and found.wanted[-1].labels is None and found.wanted[-1].annotation is None


def test_class_files_of_a_split_whose_list_is_missing_are_refused(tmp_path):
    folder = small_voc(tmp_path)
    (folder / "ImageSets/Main/train.txt").unlink()
    assert "train.txt is missing" in refused(lambda: survey(tmp_path, entry("voc")))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("000001 1\n", "lacks 000002"),
        ("000001 1\n000002 1\n000003 1\n", "names 000003"),
        ("000001 1\n000002 2\n", "line 2: '000002 2' is no name with 1, -1 or 0"),
        ("000001\n000002 1\n", "line 1: '000001' is no name"),
    ],
)
def test_a_class_file_that_does_not_fit_its_split_is_refused(tmp_path, content, told):
    folder = small_voc(tmp_path)
    write(folder, {"ImageSets/Main/cat_train.txt": content})
    line = refused(lambda: survey(tmp_path, entry("voc")))
    assert "cat_train.txt" in line and told in line


def test_labels_that_differ_between_splits_are_refused(tmp_path):
    folder = small_voc(tmp_path)
    small_voc(tmp_path, split="trainval")
    write(folder, {"ImageSets/Main/cat_trainval.txt": "000001  1\n000002 -1\n"})
    line = refused(lambda: survey(tmp_path, entry("voc")))
    assert "cat_trainval.txt: 000002 has another label in another split" in line


def test_a_further_list_is_a_split_of_its_own(tmp_path):
    folder = small_voc(tmp_path, ("a", "b", "c"))
    write(tmp_path, {"lists/seg11valid.txt": "b\nc\n\n"})
    of = entry("voc", lists={"seg11valid": "lists/seg11valid.txt"})
    assert survey(tmp_path, of).splits["seg11valid"] == 2
    write(tmp_path, {"lists/seg11valid.txt": "b\nd\n"})
    line = refused(lambda: looked(tmp_path, of))
    assert "3 of 4 pictures, first missing: JPEGImages/d.jpg" in line
    (tmp_path / "lists/seg11valid.txt").unlink()
    assert "seg11valid" in refused(lambda: survey(tmp_path, of))
    assert folder.is_dir()


@pytest.mark.parametrize("path", ["nowhere", "set/JPEGImages"])
def test_another_folder_is_refused_with_what_it_should_hold(tmp_path, path):
    small_voc(tmp_path)
    line = refused(lambda: survey(tmp_path, entry("voc", path)))
    assert path in line and ("VOCdevkit" in line)


def test_a_segmentation_split_wants_masks(tmp_path):
    folder = small_voc(tmp_path)
    (folder / "SegmentationClass/000002.png").unlink()
    line = refused(lambda: looked(tmp_path, entry("voc")))
    assert "1 of 2 masks, first missing: SegmentationClass/000002.png" in line


def test_a_damaged_picture_is_named(tmp_path):
    folder = small_voc(tmp_path)
    path = folder / "JPEGImages/000002.jpg"
    path.write_bytes(path.read_bytes()[:200])
    line = refused(lambda: looked(tmp_path, entry("voc")))
    assert str(path) in line and "cannot be decoded" in line


def test_torchvision_reads_what_is_drawn_as_we_do(tmp_path):
    from torchvision.datasets import VOCDetection, VOCSegmentation

    (tmp_path / "VOCdevkit").mkdir()
    of = drawn(tmp_path, "voc")
    (tmp_path / "set").rename(tmp_path / "VOCdevkit/VOC2007")
    of = of.model_copy(update={"path": "VOCdevkit/VOC2007"})
    found = survey(tmp_path, of)
    ours = {one.wanted.name: one for one in looked(tmp_path, of)}
    for split in ("train", "val", "trainval", "test"):
        theirs = VOCDetection(str(tmp_path), "2007", split)
        assert len(theirs) == found.splits[f"Main/{split}"] > 0
        for picture, target in theirs:
            told = target["annotation"]
            one = ours[told["filename"].removesuffix(".jpg")]
            assert picture.size == (one.width, one.height)
            for number, thing in enumerate(told["object"]):
                box = [int(thing["bndbox"][side]) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
                assert one.objects.boxes[number].tolist() == box
                assert found.classes[one.objects.classes[number]] == thing["name"]
                assert one.objects.difficult[number] == (thing["difficult"] == "1")
            present = {thing["name"] for thing in told["object"] if thing["difficult"] == "0"}
            assert {name for name, label in zip(found.classes, one.wanted.labels, strict=True) if label == 1} == present
    for picture, mask in VOCSegmentation(str(tmp_path), "2007", "trainval"):
        assert mask.mode == "P" and mask.size == picture.size
        assert set(np.unique(np.asarray(mask))) <= {*range(11), 255}


def test_a_list_that_has_the_name_of_a_split_is_refused(tmp_path):
    small_voc(tmp_path, ("a", "b", "c"))
    write(tmp_path, {"lists/mine.txt": "b\n"})
    line = refused(lambda: survey(tmp_path, entry("voc", lists={"train": "lists/mine.txt"})))
    assert line.endswith("lists.train: the set has a split of that name: name the list otherwise")
