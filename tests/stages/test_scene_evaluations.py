"""stages/voc_classification.py, detection.py and segmentation.py on drawn scenes, whose files are read again here."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from evaluation_helpers import ENTRIES, edited, evaluate_again, folder, result, table
from PIL import Image
from pytest import approx
from sklearn.metrics import average_precision_score, confusion_matrix
from stage_helpers import files, refused

from stages import detection as detection_module
from stages import segmentation as segmentation_module
from stages import voc_classification as voc_classification_module
from stages.artifacts.weights import load_backbone
from stages.protocols.classification import classifier
from stages.protocols.detecting import Found
from stages.runtime.evaluating import trained_on_too

SIDES = ("xmin", "ymin", "xmax", "ymax")


def scenes(project):
    return project.path("data/evaluation/demo-voc/pictures")


def names(project, split, kind="Main"):
    return (scenes(project) / f"ImageSets/{kind}/{split}.txt").read_text().split()


def classes(project):
    lists = (scenes(project) / "ImageSets/Main").glob("*_test.txt")
    return sorted(path.name.removesuffix("_test.txt") for path in lists)


@pytest.mark.parametrize("name", ["classification", "caffe"])
def test_average_precision_is_that_of_scikit_learn_over_the_lists_of_the_set(evaluated, name):
    rows, numbers = table(evaluated, name), result(evaluated, name)["numbers"]
    tested = names(evaluated, "test")
    assert rows["picture"].tolist() == [picture for picture in tested for _ in classes(evaluated)]
    expected = {}
    for label in classes(evaluated):
        lines = (scenes(evaluated) / f"ImageSets/Main/{label}_test.txt").read_text().split()
        told = dict(zip(lines[::2], map(int, lines[1::2]), strict=True))
        own = rows[rows["class"] == label]
        assert [{1: 1, -1: 0, 0: 255}[told[picture]] for picture in tested] == own["label"].tolist()
        known = own[own["label"] != 255]
        if known["label"].any():
            # Of scores that are closer than 1e-5, that of a picture with the class counts as the lower, as there.
            scores = known["score"].astype(float) - 1e-5 * known["label"]
            expected[label] = 100 * average_precision_score(known["label"], scores)
    assert numbers["classes"] == approx(expected, abs=1e-4)
    assert numbers["map"] == approx(np.mean(list(expected.values())), abs=1e-4)
    assert result(evaluated, name)["measured_on"] == {
        "train_images": len(names(evaluated, "trainval")),
        "test_images": len(tested),
        "iterations": ENTRIES[name]["iterations"],
    }


def test_of_fc6_8_the_convolutions_stay_and_of_all_they_do_not(evaluated_copy, monkeypatch):
    given = load_backbone(evaluated_copy.run_path("model.safetensors")).network
    for name, stay in (("caffe", True), ("classification", False)):
        learners = []

        def kept(*args, learners=learners, **options):
            learners.append(classifier(*args, **options))
            return learners[0]

        monkeypatch.setattr(voc_classification_module, "classifier", kept)
        evaluate_again(evaluated_copy, name)
        trained = [value for value in learners[0].network.state_dict().values() if value.ndim == 4]
        former = [value for value in given.state_dict().values() if value.ndim == 4]
        same = [torch.equal(one, other) for one, other in zip(former, trained, strict=True)]
        # Sobel filters come first, and stay.
        assert same[-5:] == [stay] * 5 and all(same[:-5])


def truth(project, name):
    """Class names and (n, 4) boxes from 0 of a scene."""
    objects = ElementTree.parse(scenes(project) / f"Annotations/{name}.xml").getroot().findall("object")
    boxes = [[float(one.find("bndbox").findtext(side)) - 1 for side in SIDES] for one in objects]
    return [one.findtext("name") for one in objects], np.array(boxes).reshape(-1, 4)


def finding(project, monkeypatch, shift):
    """In place of the detector, one that finds all that there is, its class `shift` places off."""
    known, left = classes(project), iter(names(project, "test"))

    def detect(*_):
        labels, boxes = truth(project, next(left))
        numbers = np.array([(known.index(label) + shift) % len(known) + 1 for label in labels], np.int64)
        return Found(numbers, np.linspace(0.9, 0.5, len(labels)), boxes)

    monkeypatch.setattr(detection_module, "detect", detect)


def test_a_detector_that_finds_all_has_every_class_whole(evaluated_copy, monkeypatch):
    finding(evaluated_copy, monkeypatch, 0)
    evaluate_again(evaluated_copy, "detection")
    numbers = result(evaluated_copy, "detection")["numbers"]
    assert numbers["map"] == numbers["map_area"] == 100
    assert set(numbers["classes"].values()) == {100.0} and len(numbers["classes"]) >= 5
    rows = table(evaluated_copy, "detection")
    for picture, own in rows.groupby("picture"):
        labels, boxes = truth(evaluated_copy, picture)
        assert own["class"].tolist() == labels
        assert (own[["x1", "y1", "x2", "y2"]].to_numpy() == boxes).all()


def test_a_detector_that_takes_each_class_for_the_next_finds_next_to_nothing(evaluated_copy, monkeypatch):
    finding(evaluated_copy, monkeypatch, 1)
    evaluate_again(evaluated_copy, "detection")
    assert result(evaluated_copy, "detection")["numbers"]["map"] < 50


def test_detections_are_boxes_within_their_pictures(evaluated):
    rows = table(evaluated, "detection")
    assert set(rows["picture"]) <= set(names(evaluated, "test")) and set(rows["class"]) <= set(classes(evaluated))
    assert rows["score"].between(0.05, 1).all()
    for picture, own in rows.groupby("picture"):
        with Image.open(scenes(evaluated) / f"JPEGImages/{picture}.jpg") as opened:
            width, height = opened.size
        assert (own[["x1", "y1"]] >= 0).all(axis=None)
        assert (own["x2"] <= width - 1).all() and (own["y2"] <= height - 1).all()
        assert (own["x1"] <= own["x2"]).all() and (own["y1"] <= own["y2"]).all()
        assert len(own) <= 100 and own["score"].is_monotonic_decreasing


@pytest.mark.parametrize("more", [{"flips": False}, {"fc": "random"}, {"short": [64, 96]}, {"frozen": []}])
def test_what_an_entry_of_detection_says_reaches_the_training(evaluated_copy, more):
    before = files(folder(evaluated_copy, "detection"))["curve.parquet"]
    edited(evaluated_copy, "detection", **more)
    evaluate_again(evaluated_copy, "detection")
    assert files(folder(evaluated_copy, "detection"))["curve.parquet"] != before


def test_the_confusion_of_pixels_is_that_of_scikit_learn(evaluated_copy, monkeypatch):
    """With predictions of all classes, which so short a training does not bring about."""
    count = len(classes(evaluated_copy)) + 1
    made = []

    def segment(model, picture, precision):
        made.append((picture.astype(int).sum(axis=2) // 7 % count).astype(np.uint8))
        return made[-1]

    monkeypatch.setattr(segmentation_module, "segment", segment)
    evaluate_again(evaluated_copy, "segmentation")
    masks = []
    for name in names(evaluated_copy, "test", "Segmentation"):
        with Image.open(scenes(evaluated_copy) / f"SegmentationClass/{name}.png") as opened:
            masks.append(np.array(opened).ravel())
    told, found = np.concatenate(masks), np.concatenate([one.ravel() for one in made])
    known = told != 255
    assert not known.all()
    matrix = confusion_matrix(told[known], found[known], labels=range(count))
    rows = table(evaluated_copy, "segmentation")
    assert rows["pixels"].to_numpy().reshape(count, count).tolist() == matrix.tolist()
    assert rows["truth"].tolist()[::count] == ["background", *classes(evaluated_copy)]
    right = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - right
    numbers = result(evaluated_copy, "segmentation")["numbers"]
    assert numbers["mean_iu"] == approx(100 * np.mean(right[union > 0] / union[union > 0]), abs=1e-4)
    assert numbers["pixel_accuracy"] == approx(100 * right.sum() / matrix.sum(), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "column"), [("classification", "labels"), ("detection", "boxes"), ("segmentation", "mask")]
)
def test_pictures_that_lack_what_a_protocol_learns_from_are_refused_by_name(evaluated_copy, name, column):
    path = evaluated_copy.path("data/evaluation/demo-voc/index.parquet")
    read = pq.read_table(path)
    field = read.schema.field(column)
    path.unlink()
    pq.write_table(read.set_column(read.column_names.index(column), field, pa.nulls(len(read), field.type)), path)
    line = refused(lambda: evaluate_again(evaluated_copy, name))
    assert f"has no {column}" in line and "data/evaluation/demo-voc" in line


def test_a_picture_without_proposals_is_refused_by_name(evaluated_copy):
    path = evaluated_copy.path("data/evaluation/demo-voc/proposals.parquet")
    read = pq.read_table(path)
    path.unlink()
    pq.write_table(read.slice(1), path)
    line = refused(lambda: evaluate_again(evaluated_copy, "detection"))
    assert f"evaluation_sets.demo-voc: {read['name'][0]} has no proposals" in line and "search: fast" in line


def test_an_unknown_split_is_refused_with_those_that_there_are(evaluated_copy):
    for name in ("classification", "detection", "segmentation"):
        edited(evaluated_copy, name, test={"set": "demo-voc", "split": "tset"})
        line = refused(lambda name=name: evaluate_again(evaluated_copy, name))
        assert "no split tset" in line and "Main/test" in line


@pytest.mark.parametrize("name", ["classification", "detection", "segmentation"])
def test_pictures_that_are_trained_on_are_not_tested_on(evaluated_copy, name):
    edited(evaluated_copy, name, test={"set": "demo-voc", "split": "train"})
    line = refused(lambda: evaluate_again(evaluated_copy, name))
    assert f"evaluations.{name}: 10 of the pictures of train are in trainval too, such as " in line


def test_pictures_of_another_set_with_names_that_were_trained_on_are_told():
    train, test = SimpleNamespace(names=["a", "b", "c"]), SimpleNamespace(names=["c", "d"])
    params = SimpleNamespace(train=SimpleNamespace(set="sbd"), test=SimpleNamespace(set="voc2012"))
    every = np.arange(3), np.arange(2)
    assert trained_on_too(params, train, every[0], test, every[1]) == {"test_images_trained_on": 1}
    assert trained_on_too(params, train, every[0][:2], test, every[1]) == {}
