"""pipeline/data.py: what lies of each set, what is missing, who uses it; and no picture is opened."""

import json

import pytest
import yaml
from projects import params_text

from pipeline.data import data


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def states(root, **sections):
    content = yaml.safe_load(params_text())
    content["datasets"] = {"demo": content["datasets"]["demo"]} | sections.get("datasets", {})
    content["runs"] = {"demo": {}} | sections.get("runs", {})
    content |= {name: sections.get(name, {}) for name in ("evaluation_sets", "evaluations")}
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return {state.key: state for state in data(root)}


def pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # No picture: who opened it would notice.
        (folder / name).write_bytes(b"none")


def packed(root, name, **content):
    folder = root / "data/images" / name
    folder.mkdir(parents=True)
    (folder / "pack.json").write_text(json.dumps(content))


def test_sets_that_are_drawn_miss_nothing(root):
    drawn = {"layout": "landmarks", "path": "data/evaluation/halls/pictures", "draw": {}}
    found = states(root, evaluation_sets={"halls": drawn})
    assert list(found) == ["datasets.demo", "evaluation_sets.halls"]
    assert all(state.ready and "not drawn yet" in state.told for state in found.values())
    assert found["datasets.demo"].runs == ("demo",)
    assert (found["evaluation_sets.halls"].runs, found["evaluation_sets.halls"].evaluations) == ((), ())


def test_a_packed_set_is_told_from_its_summary(root):
    packed(root, "demo", images=2000, classes=["a", "b"])
    packed(root, "mine", images=1, classes=[])
    found = states(root, datasets={"mine": {"path": "gone", "size": 32}})
    assert found["datasets.demo"].told == "packed: 2,000 pictures in 2 classes"
    # Its own pictures are read no more.
    assert found["datasets.mine"].ready and found["datasets.mine"].told == "packed: 1 picture"


def test_a_folder_that_is_not_packed_is_counted(root):
    pictures(root / "photos", "cat/1.jpg", "cat/2.jpg", "dog/1.png", "dog/notes.txt")
    state = states(root, datasets={"mine": {"path": "photos", "size": 32}})["datasets.mine"]
    assert state.ready and state.told == "3 pictures in 2 classes; not packed yet"
    state = states(root, datasets={"mine": {"path": "photos", "size": 32, "labels": False}})["datasets.mine"]
    assert state.told == "3 pictures; not packed yet"


def test_a_list_with_missing_files_names_the_first(root):
    pictures(root / "photos", "1.jpg")
    (root / "photos/list.txt").write_text("1.jpg\n2.jpg\n3.jpg\n")
    state = states(root, datasets={"mine": {"path": "photos/list.txt", "size": 32}})["datasets.mine"]
    assert not state.ready
    assert state.told.startswith("1 picture; not packed yet; 2 cannot be opened, such as '2.jpg' (line 2: ")


def test_what_should_lie_there_is_told(root):
    sets = {
        "voc2007": {"layout": "voc", "path": "/nowhere/VOC2007"},
        "sbd": {"layout": "sbd", "path": "/nowhere/sbd"},
        "oxford5k": {"layout": "landmarks", "path": "/nowhere/oxford"},
    }
    found = states(root, datasets={"imagenet": {"path": "/nowhere/train", "size": 256}}, evaluation_sets=sets)
    assert found["datasets.imagenet"].told == (
        "not there: a folder of pictures, in a folder of each class, or a text file with a path a line"
    )
    assert [state.ready for state in found.values()] == [True, False, False, False, False]
    for name, holds in (("voc2007", "ImageSets"), ("sbd", "cls"), ("oxford5k", "lab")):
        told = found[f"evaluation_sets.{name}"].told
        assert "/nowhere" in told and holds in told


def test_a_set_that_is_half_there_counts_what_is_missing(root):
    lists = root / "sbd"
    pictures(lists, "img/a.jpg", "img/b.jpg", "cls/a.mat")
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    state = states(root, evaluation_sets={"sbd": {"layout": "sbd", "path": "sbd"}})["evaluation_sets.sbd"]
    assert not state.ready
    assert state.told == (
        "2 of 3 pictures, first missing: img/c.jpg; 1 of 3 masks, first missing: cls/b.mat; not looked through yet"
    )
    pictures(lists, "img/c.jpg", "cls/b.mat", "cls/c.mat")
    folder = root / "data/evaluation/sbd"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text("{}")
    state = states(root, evaluation_sets={"sbd": {"layout": "sbd", "path": "sbd"}})["evaluation_sets.sbd"]
    assert state.ready and state.told == "3 pictures; 3 masks; looked through"


def test_who_uses_a_set_is_told(root):
    found = states(
        root,
        datasets={name: {"path": name, "size": 32} for name in ("mine", "mine-test", "alone")},
        evaluations={"mine-knn": {"protocol": "knn", "train": "mine", "test": "mine-test"}},
        runs={
            "first": {"dataset": "mine", "evaluations": ["mine-knn"]},
            "second": {"dataset": "mine"},
            "third": {"epochs": 0, "dataset": None, "evaluations": ["mine-knn"]},
        },
    )
    users = {key: (state.runs, state.evaluations) for key, state in found.items()}
    assert users == {
        "datasets.demo": (("demo",), ()),
        "datasets.mine": (("first", "second", "third"), ("mine-knn",)),
        "datasets.mine-test": (("first", "third"), ("mine-knn",)),
        "datasets.alone": ((), ()),
    }


def test_the_committed_params_are_told_whole(root):
    from projects import ROOT

    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    named = [f"{section}.{name}" for section in ("datasets", "evaluation_sets") for name in content.get(section) or ()]
    assert [state.key for state in data(root)] == named
