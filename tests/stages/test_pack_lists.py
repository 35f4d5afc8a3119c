"""stages/pack.py on lists whose lines end in a class: labels, classes, and what has changed since."""

import json

from pack_helpers import manifest
from stage_helpers import Stopping, pack_into, picture, project_with, save

from pipeline.drift import Source, since_packed
from stages.runtime.job import load_dataset_params


def packed(tmp_path, lines, **dataset):
    for number in range(3):
        save(tmp_path / f"val/{number}.png", picture(32, 32, number))
    (tmp_path / "val.txt").write_text(lines)
    (tmp_path / "classes.txt").write_text("cat\ndog\ncow\n")
    root = tmp_path / "project"
    source = {"classes": str(tmp_path / "classes.txt")} | dataset
    project_with(root, str(tmp_path / "val.txt"), **source)
    report = Stopping()
    return root, pack_into(root, report), report.told


LINES = "val/2.png 1\nval/0.png 2\nval/1.png 1\n"


def test_labels_are_those_of_the_list_and_classes_those_of_the_file(tmp_path):
    _, folder, told = packed(tmp_path, LINES)
    assert manifest(folder)["label"].tolist() == [1, 2, 1]
    content = json.loads((folder / "pack.json").read_text())
    assert content["classes"] == ["cat", "dog", "cow"] and content["labelled"] == 3
    assert "labels are the 3 classes of the list" in told


def test_labels_can_be_turned_off(tmp_path):
    root, folder, _ = packed(tmp_path, LINES, labels=False)
    assert manifest(folder)["label"].tolist() == [-1, -1, -1]
    assert json.loads((folder / "pack.json").read_text())["classes"] == []
    assert since_packed(Source(root, load_dataset_params(root, "mine"))) is None


def test_another_label_is_told_though_no_picture_changed(tmp_path):
    root, _, _ = packed(tmp_path, LINES)
    source = Source(root, load_dataset_params(root, "mine"))
    assert since_packed(source) is None
    (tmp_path / "val.txt").write_text(LINES.replace("0.png 2", "0.png 0"))
    source = Source(root, load_dataset_params(root, "mine"))
    assert "another class than when it was packed" in since_packed(source)


def test_a_plain_list_is_packed_as_before(tmp_path):
    _, folder, _ = packed(tmp_path, "val/2.png\nval/0.png\n", classes=None)
    assert manifest(folder)["label"].tolist() == [-1, -1]
    assert json.loads((folder / "pack.json").read_text())["classes"] == []
