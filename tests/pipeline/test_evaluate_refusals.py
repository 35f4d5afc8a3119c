"""What is wrong with evaluations, their data and their runs: one line that names it, before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from evaluation_helpers import ENTRIES
from pipeline_helpers import CommandLine, unlink
from projects import Project, merged
from set_helpers import png

VOC = {name: {"set": "scenes", "split": split} for name, split in (("train", "trainval"), ("test", "test"))}


@pytest.fixture(scope="module")
def project(evaluated: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the measured project, with a set of a user's own, and params.yaml as each test leaves it behind."""
    copy = Project(tmp_path_factory.mktemp("refusals") / "project")
    shutil.copytree(evaluated.root, copy.root, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    shutil.copytree(copy.path("data/evaluation/demo-voc/pictures"), copy.path("scenes"))
    proposals = {split: f"scenes/proposals/{split}.mat" for split in ("trainval", "test")}
    copy.edit({"evaluation_sets": {"scenes": {"layout": "voc", "path": "scenes", "proposals": proposals}}})
    copy.edit({"evaluations": {"mine": ENTRIES["classification"] | VOC}})
    return copy


@pytest.fixture
def refused(cli: CommandLine, project: Project):
    """The line of a refused command under a change of params.yaml, nothing below data/ being another then."""
    text = project.path("params.yaml").read_bytes()

    def line(change: dict, *words: str) -> str:
        before = project.tree()
        project.edit(change)
        written = project.path("params.yaml").read_bytes()
        told = cli.refused(project.root, *words)
        assert project.tree() == before
        assert project.path("params.yaml").read_bytes() in (written, text)
        return told

    yield line
    project.path("params.yaml").write_bytes(text)


PLAIN = {"layout": "voc", "path": "scenes"}
ENTRY = {
    "protocol": ("knn", {"protocol": "knnn"}, "evaluations.knn.protocol: 'knnn' is not one of detection, knn, linear"),
    "no protocol": ("knn", {"protocol": None}, "evaluations.knn.protocol: 'None' is not one of detection"),
    "key": ("knn", {"per_clas": 3}, "evaluations.knn.per_clas: no such key; did you mean evaluations.knn.per_class?"),
    "key of a split": (
        "detection",
        {"train": {"spilt": "test"}},
        "evaluations.detection.train.spilt: no such key; did you mean evaluations.detection.train.split?",
    ),
    "number": ("linear", {"epochs": 0}, "evaluations.linear.epochs: input should be greater than or equal to 1, not 0"),
    "choice": ("caffe", {"layers": "fc"}, "evaluations.caffe.layers: input should be 'fc6-8' or 'all', not 'fc'"),
    "data set": ("knn", {"train": "demmo"}, "evaluations.knn: 'demmo' is not one of `datasets` (demo, demo-test"),
    "set": ("oxford", {"whiten": "paris"}, "evaluations.oxford: 'paris' is not one of `evaluation_sets` (demo-voc"),
    "retrieval of voc": ("oxford", {"whiten": "demo-voc"}, "retrieval reads no set of layout voc, as demo-voc is"),
    "segmentation of landmarks": (
        "segmentation",
        {"test": {"set": "demo-paris"}},
        "segmentation reads no set of layout landmarks, as demo-paris is",
    ),
    "own whitening": ("oxford", {"whiten": "demo-oxford"}, "evaluations.oxford.whiten: the whitening is learnt on ano"),
    "own pictures": (
        "knn",
        {"test": "demo"},
        "evaluations.knn.test: demo is what it learns from: name a data set",
    ),
    "own pictures of a probe": ("linear", {"test": "demo"}, "evaluations.linear.test: demo is what it learns from"),
    "own split": (
        "detection",
        {"test": {"split": "trainval"}},
        "evaluations.detection.test: trainval of demo-voc is what it trains on: name another split, or set",
    ),
    "no neighbours": ("knn", {"k": []}, "evaluations.knn.k: "),
    "sharp votes": (
        "knn",
        {"temperature": 0.001},
        "evaluations.knn.temperature: input should be greater than",
    ),
    "no proposals": ("detection", {"test": {"set": "plain"}}, "evaluation_sets.plain has no proposals: name selective"),
    "layer": ("linear", {"layers": ["conv6"]}, "evaluations.linear.layers: alexnet of run demo has no conv6 here"),
    "larger than the network": ("mlp", {"test": "tiny"}, "datasets.tiny (size 32) are smaller than the 64 pixels"),
}


@pytest.mark.parametrize("case", ENTRY)
def test_an_entry_that_is_wrong_is_refused_by_its_key(refused, case):
    name, keys, told = ENTRY[case]
    change = {
        "evaluations": {name: keys},
        "evaluation_sets": {"plain": PLAIN},
        "datasets": {"tiny": {"path": "scenes/JPEGImages", "size": 32}},
    }
    assert told in refused(change, "evaluate", name)
    # A run that names it does not begin.
    assert told in refused({}, "run")


def test_an_unknown_evaluation_is_refused_with_those_that_there_are(refused):
    assert "'nope' is not one of `evaluations` (" in refused({}, "evaluate", "nope")
    line = refused({"runs": {"demo": {"evaluations": ["knn", "nope"]}}}, "run")
    assert "runs.demo.evaluations: 'nope' is not one of `evaluations`" in line
    assert "must be a list of names" in refused({"runs": {"demo": {"evaluations": "knn"}}}, "run")
    line = refused({"runs": {"demo": {"evaluations": []}}}, "evaluate")
    assert "run demo names no evaluations: give some of" in line and "knn" in line


def test_a_run_that_has_not_begun_or_is_not_finished_is_refused_with_what_to_do(refused, project):
    assert "has not begun" in refused({}, "evaluate", "--run", "imagenet-alexnet", "knn")
    assert "there is no run 'nope'" in refused({}, "evaluate", "--run", "nope", "knn")
    weights = project.run_path("model.safetensors")
    weights.rename(project.path("kept"))
    line = refused({}, "evaluate", "knn")
    project.path("kept").rename(weights)
    assert (
        "run demo has no finished network to evaluate" in line and "`python -m pipeline run --run demo` first" in line
    )


RESIDUAL = {"epochs": 0, "dataset": None, "model": {"architecture": "resnet18", "input": 64, "width": 0.0625}}


@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_what_needs_fc6_and_fc7_is_refused_of_a_residual_network(refused, name):
    line = refused({"runs": {"res": RESIDUAL | {"evaluations": [name]}}}, "run", "--run", "res")
    assert f"evaluations.{name}: {name} goes on from fc6 and fc7, which resnet18 of run res lacks" in line


def test_a_run_without_pictures_is_not_trained(refused):
    line = refused({"runs": {"res": RESIDUAL | {"epochs": 3}}}, "run", "--run", "res")
    assert "dataset: null goes with epochs: 0 alone" in line and "--set dataset=NAME" in line


def test_a_run_without_pictures_has_its_plan_status_and_records_and_no_groups(cli, evaluated):
    for words, told in ((("status",), "are done"), (("verify",), "0 differ"), (("runs",), "demo-random")):
        run = () if words == ("runs",) else ("--run", "demo-random")
        ended = cli(evaluated.root, *words, *run)
        assert ended.status == 0 and told in ended.out, ended
    for words in (("groups", "-o", "groups.csv"), ("similar", "0"), ("nmi",)):
        assert "demo-random" in cli.refused(evaluated.root, *words, "--run", "demo-random")
    assert not evaluated.path("groups.csv").exists()
    assert sorted(path.name for path in evaluated.run_path("epochs", "demo-random").iterdir()) == ["0000"]


# ---------------------------------------------------------------- data


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def first(folder: Path) -> Path:
    return min(folder.iterdir())


def rgb_mask(scenes: Path) -> None:
    from PIL import Image

    path = first(scenes / "SegmentationClass")
    with Image.open(path) as mask:
        mask.convert("RGB").save(path)


def odd_mask(scenes: Path) -> None:
    import numpy as np

    first(scenes / "SegmentationClass").write_bytes(png(np.zeros((7, 9), np.uint8)))


def moved_box(scenes: Path) -> None:
    path = first(scenes / "Annotations")
    side = path.read_text().split("<xmin>")[1].split("</xmin>")[0]
    replaced(path, f"<xmin>{side}</xmin>", "<xmin>0</xmin>")


def empty_box(scenes: Path) -> None:
    path = first(scenes / "Annotations")
    side, end = (path.read_text().split(f"<{key}>")[1].split(f"</{key}>")[0] for key in ("xmin", "xmax"))
    replaced(path, f"<xmax>{end}</xmax>", f"<xmax>{side}</xmax>")


DAMAGE = {
    "half there": (lambda scenes: unlink(*sorted((scenes / "JPEGImages").iterdir())[5:]), "5 of 30 pictures, first"),
    "a class file": (lambda scenes: unlink(scenes / "ImageSets/Main/star_test.txt"), "star_test.txt is missing: 9 of"),
    "no lists": (lambda scenes: unlink(scenes / "ImageSets"), "ImageSets/Main holds none of train"),
    "a picture": (lambda scenes: unlink(first(scenes / "JPEGImages")), "29 of 30 pictures, first missing: JPEGImages/"),
    "a cut picture": (lambda scenes: first(scenes / "JPEGImages").write_bytes(b"\xff\xd8\xff"), "cannot be decoded"),
    "a box from 0": (moved_box, "xmin is 0, and VOC counts pixels from 1"),
    "an empty box": (empty_box, "its box is empty (xmin"),
    "a mask of colours": (rgb_mask, "is a mask of colours (mode RGB)"),
    "a mask of another size": (odd_mask, "SegmentationClass"),
    "another set's proposals": (
        lambda scenes: shutil.copy(scenes / "proposals/test.mat", scenes / "proposals/trainval.mat"),
        "proposals/trainval.mat",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_set_that_is_damaged_is_refused_with_its_file_before_anything_is_trained(
    cli: CommandLine, project: Project, damage: str, monkeypatch
):
    act, told = DAMAGE[damage]
    scenes = project.path("scenes")
    shutil.copytree(scenes, project.path("whole"))
    text = project.path("params.yaml").read_bytes()
    try:
        act(scenes)
        name = "found" if "proposals" in damage else "mine"
        project.edit({"evaluations": {"found": ENTRIES["detection"] | VOC}})
        line = cli.refused(project.root, "evaluate", name)
        assert told in line and "scenes" in line
        assert not project.run_path(f"evaluations/{name}").exists()
        # What a run would measure after days is told before them.
        project.edit({"train": {"lr": 0.3}, "runs": {"demo": {"evaluations": [name]}}})
        before = project.tree()
        assert told in cli.refused(project.root, "run", "--yes")
        assert project.tree() == before
    finally:
        unlink(scenes, project.path("data/evaluation/scenes"))
        project.path("whole").rename(scenes)
        project.path("params.yaml").write_bytes(text)


def test_pictures_without_classes_or_of_other_classes_are_refused(refused, project, cli):
    pictures = project.path("data/images/demo-test/pictures")
    shutil.copytree(pictures, project.path("fewer"))
    unlink(min(project.path("fewer").iterdir()))
    base = {"size": 72, "chunk_mib": 1}
    sets = {"bare": base | {"path": str(pictures), "labels": False}, "fewer": base | {"path": "fewer", "labels": True}}
    text = project.path("params.yaml").read_text()
    for name, told in (("bare", "60 pictures of datasets.bare have no class"), ("fewer", "(10 and 9); the first that")):
        change = {"datasets": sets, "evaluations": {"near": ENTRIES["knn"] | {"test": name}}}
        project.path("params.yaml").write_text(yaml.safe_dump(merged(yaml.safe_load(text), change), sort_keys=False))
        line = cli.refused(project.root, "evaluate", "near")
        assert told in line and "datasets." in line
        assert not project.run_path("evaluations/near").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_demo_is_not_trained_for_tables_that_lack_their_baseline(refused, project, cli, command):
    content = yaml.safe_load(project.path("params.yaml").read_text())
    del content["runs"]["demo-random"]
    project.path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    line = refused({}, command)
    assert line.startswith(
        "run demo: its tables have a row of run demo-random, which params.yaml lacks: put `demo-random"
    )
    # What it says mends it.
    project.edit({"runs": yaml.safe_load(line.partition("`")[2].partition("`")[0])})
    assert cli(project.root, "plan").status == 0
