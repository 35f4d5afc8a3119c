"""pipeline/evaluation_data.py: evaluations that their data does not fit, told before a run is trained."""

import json

import pandas as pd
import pytest
from params_helpers import BASE
from stage_helpers import refused

from pipeline.evaluation_data import refuse_unfit, with_data
from stages.dag.data import data_nodes
from stages.parameters.resolution import resolve_run

PARAMS = resolve_run(BASE, "demo")


@pytest.fixture
def root(tmp_path):
    for name in ("demo", "demo-test"):
        lay(tmp_path, f"images/{name}/pack.json", images=20, labelled=20, classes=["a", "b"])
    splits = {"Main/trainval": 9, "Main/test": 9, "Segmentation/trainval": 5, "Segmentation/test": 5}
    lay(tmp_path, "evaluation/demo-voc/index.json", splits=splits, classes=["a", "b"])
    pictures(tmp_path, ["trainval"], ["test"])
    return tmp_path


def pictures(root, *splits):
    """A picture of the demo's scenes in each of the given splits."""
    listed = [[f"{kind}/{split}" for kind in ("Main", "Segmentation") for split in each] for each in splits]
    size = [8] * len(splits)
    frame = pd.DataFrame({"name": [*map(str, range(len(splits)))], "height": size, "width": size, "splits": listed})
    frame.to_parquet(root / "data/evaluation/demo-voc/index.parquet")


def lay(root, name, **content):
    path = root / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_demos_evaluations_fit_what_is_there(root):
    refuse_unfit(root, PARAMS)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("images/demo-test/pack.json", {"images": 20, "labelled": 17, "classes": ["a", "b"]}, "3 pictures of datasets"),
        ("images/demo-test/pack.json", {"images": 20, "labelled": 20, "classes": ["a", "c"]}, "differs: b and c"),
        (
            "evaluation/demo-voc/index.json",
            {"splits": {"Main/test": 9}, "classes": []},
            "demo-voc has no split trainval",
        ),
    ],
)
def test_what_does_not_fit_is_refused(root, name, content, told):
    lay(root, name, **content)
    assert told in refused(lambda: refuse_unfit(root, PARAMS))


def test_pictures_that_are_trained_and_tested_on_are_told_before_training(root):
    pictures(root, ["trainval"], ["trainval", "test"])
    line = refused(lambda: refuse_unfit(root, PARAMS))
    assert line.startswith("evaluations.demo-classification-fc6-8: 1 of the pictures of test are in trainval too")


def test_boxes_that_are_not_there_leave_out_detection_alone(tmp_path):
    (tmp_path / "VOC2007").mkdir()
    content = {
        **BASE,
        "evaluation_sets": {"mine": {"layout": "voc", "path": "VOC2007", "proposals": {"test": "x.mat"}}},
    }
    split = {"train": {"set": "mine", "split": "trainval"}, "test": {"set": "mine", "split": "test"}, "layers": "all"}
    content["evaluations"] = {name: split | {"protocol": name} for name in ("detection", "voc_classification")}
    content["runs"] = {"demo": {"evaluations": [*content["evaluations"]]}}
    params, absent = with_data(tmp_path, resolve_run(content, "demo"))
    assert [one.name for one in params.evaluations] == ["voc_classification"]
    assert absent == {"detection": "evaluation_sets.mine.proposals.test: there is no x.mat"}
    assert [node.stage for node in data_nodes(params) if node.folder.endswith("mine")] == ["index"]
    (tmp_path / "x.mat").touch()
    params, _ = with_data(tmp_path, resolve_run(content, "demo"))
    assert [node.stage for node in data_nodes(params) if node.folder.endswith("mine")] == ["index", "proposals"]
