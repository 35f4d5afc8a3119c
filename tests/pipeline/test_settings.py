"""pipeline/settings.py: params.yaml as people write it, changed key by key, everything else left as it was."""

from __future__ import annotations

import difflib
import threading
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from projects import params_text
from ruamel.yaml import YAML

from pipeline.settings import Settings
from stages.artifacts.documents import load_yaml
from stages.errors import Refusal
from stages.parameters.resolution import resolve_run
from stages.runtime.locks import only_writer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(params_text(), encoding="utf-8")
    return tmp_path


def written(root: Path) -> str:
    return (root / "params.yaml").read_text(encoding="utf-8")


def difference(before: str, after: str) -> list[str]:
    """Lines that were removed or added, without their place."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_saving_without_a_change_writes_nothing(root):
    before = (root / "params.yaml").stat().st_mtime_ns
    assert Settings(root).save() is False
    assert (root / "params.yaml").stat().st_mtime_ns == before


def test_a_changed_key_keeps_comments_and_the_order_of_keys(root):
    before = written(root)
    settings = Settings(root)
    settings.set_text("demo", "train.lr=0.125")
    settings.put("runs.demo.epochs", 7)
    assert settings.save() is True
    removed = [line for line in difference(before, written(root)) if line.startswith("-")]
    assert removed == []
    values = yaml.safe_load(written(root))
    named = yaml.safe_load(before)["runs"]["demo"]
    assert values["runs"]["demo"] == named | {"train": {"lr": 0.125}, "epochs": 7}
    assert list(values) == list(yaml.safe_load(before))


def test_a_new_run_changes_no_line_that_was_there(root):
    before = written(root)
    settings = Settings(root)
    settings.put("datasets.mine", {"path": "/pictures", "size": 72, "labels": True, "chunk_mib": 8})
    settings.put("runs.mine", {"dataset": "mine", "cluster": {"k": 20}})
    settings.save()
    assert not [line for line in difference(before, written(root)) if line.startswith("-")]


def test_what_is_added_stands_in_its_section_one_line_a_leaf(root):
    settings = Settings(root)
    for name in ("mine", "other"):
        settings.put(f"datasets.{name}", {"path": f"/{name}", "size": 72})
        settings.put(f"runs.{name}", {"dataset": name, "cluster": {"k": 20}})
        settings.save()
        settings = Settings(root)
    lines = written(root).splitlines()
    (after,) = (line for line in lines if line.startswith("evaluation_sets:"))
    first = lines.index("  mine: {path: /mine, size: 72}")
    assert lines[first + 1 : first + 4] == ["  other: {path: /other, size: 72}", "", after]
    assert lines[-3:] == ["  other:", "    dataset: other", "    cluster: {k: 20}"]


def test_what_another_process_wrote_meanwhile_is_kept(root):
    here, there = Settings(root), Settings(root)
    for settings, name in ((here, "mine"), (there, "other")):
        settings.put(f"datasets.{name}", {"path": f"/{name}", "size": 72})
        settings.put(f"runs.{name}", {"dataset": name})
        settings.resolve(name)
    there.put("runs.demo.seed", 5)
    there.save()
    assert here.save() is True
    values = yaml.safe_load(written(root))
    assert {"mine", "other"} <= values["runs"].keys()
    assert {"mine", "other"} <= values["datasets"].keys()
    assert values["runs"]["demo"]["seed"] == here.content["runs"]["demo"]["seed"] == 5


def test_a_run_dropped_while_another_process_writes_is_gone(root):
    here, there = Settings(root), Settings(root)
    there.put("runs.demo.seed", 5)
    there.save()
    here.drop("runs", "yfcc-alexnet")
    here.save()
    values = yaml.safe_load(written(root))
    assert "yfcc-alexnet" not in values["runs"]
    assert values["runs"]["demo"]["seed"] == 5


def test_a_run_that_another_process_made_under_the_same_name_is_refused_and_stays(root):
    here, there = Settings(root), Settings(root)
    for settings, path in ((here, "/a"), (there, "/b")):
        settings.put("datasets.mine", {"path": path, "size": 72})
        settings.put("runs.mine", {"dataset": "mine"})
        settings.resolve("mine")
    there.save()
    before = written(root)
    with pytest.raises(Refusal, match=r"datasets\.mine was changed meanwhile"):
        here.save()
    assert written(root) == before


def test_runs_that_are_no_sections_or_have_numbers_for_names_have_the_data_set_of_all(root):
    edited = written(root).replace("\nruns:", "\nruns:\n  2024: {}\n  odd: 3\n  empty:")
    (root / "params.yaml").write_text(edited)
    settings = Settings(root)
    assert [settings.dataset_of(run) for run in ("2024", "odd", "empty", "yfcc-alexnet")] == ["demo"] * 3 + ["yfcc"]


@pytest.mark.parametrize("key", ["train.lr", "runs.demo.train.lr"])
def test_a_run_that_another_process_changed_after_it_was_checked_is_refused_and_nothing_written(root, key):
    here, there = Settings(root), Settings(root)
    here.put("runs.demo.epochs", 3)
    here.resolve("demo")
    there.put(key, 0.5)
    there.save()
    before = written(root)
    with pytest.raises(Refusal, match=r"run demo other values than a moment ago"):
        here.save()
    assert written(root) == before


def test_a_write_waits_for_another_that_is_under_way(root):
    settings = Settings(root)
    settings.put("runs.demo.epochs", 3)
    with only_writer(root / "data", "params.yaml"):
        saving = threading.Thread(target=settings.save)
        saving.start()
        saving.join(0.2)
        assert saving.is_alive()
        assert "epochs: 3" not in written(root)
    saving.join(10)
    assert "epochs: 3" in written(root)


def test_a_key_of_one_run_leaves_the_runs_that_share_its_yaml_anchor_alone(root):
    # The paper's runs share sections by anchor; an edit of one must not retrain the others for days.
    content = yaml.safe_load(written(root))
    others = {run: resolve_run(content, run) for run in content["runs"] if run != "imagenet-vgg16"}
    for assignment in ("train.lr=0.5", "cluster.k=77"):
        settings = Settings(root)
        settings.set_text("imagenet-vgg16", assignment)
        settings.save()
    reread = Settings(root)
    changed = reread.resolve("imagenet-vgg16")
    assert (changed.train.lr, changed.cluster.k) == (0.5, 77)
    for run, params in others.items():
        assert reread.resolve(run).model_dump(exclude={"revision"}) == params.model_dump(exclude={"revision"})


def test_the_run_that_defines_an_anchor_is_changed_alone_too(root):
    content = yaml.safe_load(written(root))
    settings = Settings(root)
    settings.set_text("imagenet-alexnet", "train.lr=0.5")
    settings.save()
    assert Settings(root).resolve("imagenet-alexnet").train.lr == 0.5
    assert Settings(root).resolve("imagenet-vgg16").train.lr == resolve_run(content, "imagenet-vgg16").train.lr


def test_a_key_of_a_section_that_came_by_a_merge_changes_no_other_run(root):
    content = yaml.safe_load(written(root))
    settings = Settings(root)
    settings.set_text("cifar-v2", "train.augment.jitter=0.25")
    settings.save()
    assert Settings(root).resolve("cifar-v2").train.augment.jitter == 0.25
    assert Settings(root).resolve("cifar").train.augment.jitter == resolve_run(content, "cifar").train.augment.jitter


@hypothesis.settings(max_examples=50, deadline=None)
@given(st.floats(min_value=1e-300, max_value=1e300, allow_nan=False))
def test_a_float_is_a_float_to_readers_of_yaml_1_1_and_1_2(tmp_path_factory, value):
    root = tmp_path_factory.mktemp("floats")
    (root / "params.yaml").write_text("train: {lr: 0.1}\nruns: {demo: {}}\n")
    settings = Settings(root)
    settings.put("runs.demo.train", {"lr": value})
    settings.save()
    old = yaml.safe_load(written(root))["runs"]["demo"]["train"]["lr"]
    new = YAML(typ="safe").load(written(root))["runs"]["demo"]["train"]["lr"]
    assert (type(old), old) == (float, value)
    assert (type(new), new) == (float, value)


@pytest.mark.parametrize(
    ("text", "value"), [("0.000001", 1e-6), ("1e-5", 1e-5), ("5e-2", 0.05), ("1e5", 1e5), ("1E-5", 1e-5), ("2", 2.0)]
)
def test_a_number_given_by_set_is_that_number_after_a_write(root, text, value):
    settings = Settings(root)
    settings.set_text("demo", f"train.weight_decay={text}")
    settings.save()
    assert float(yaml.safe_load(written(root))["runs"]["demo"]["train"]["weight_decay"]) == value
    assert Settings(root).resolve("demo").train.weight_decay == value


@pytest.mark.parametrize(("text", "value"), [("1e-5", 1e-5), ("5e-2", 0.05), ("1e5", 1e5)])
def test_a_number_typed_without_a_point_is_that_number_to_both_readers(root, text, value):
    edited = written(root).replace("  demo:\n    eval", f"  demo:\n    train: {{lr: {text}}}\n    eval")
    assert edited != written(root)
    (root / "params.yaml").write_text(edited)
    assert Settings(root).resolve("demo").train.lr == value
    assert resolve_run(load_yaml(root / "params.yaml"), "demo").train.lr == value


@pytest.mark.parametrize("text", [".nan", ".inf", "true", "'abc'", "abc", "", "[0.1]"])
def test_a_value_that_is_no_number_is_refused_with_its_key(root, text):
    settings = Settings(root)
    settings.set_text("demo", f"train.lr={text}")
    with pytest.raises(Refusal, match=r"train\.lr") as refused:
        settings.resolve("demo")
    assert "\n" not in str(refused.value)


def test_set_goes_to_the_run_that_was_named(root):
    settings = Settings(root)
    settings.set_text("imagenet-vgg16", " seed = 3 ")
    assert settings.content["runs"]["imagenet-vgg16"]["seed"] == 3
    assert settings.resolve("imagenet-vgg16").seed == 3
    assert settings.resolve("demo").seed == 0


def test_set_of_a_data_sets_key_goes_to_the_data_set(root):
    settings = Settings(root)
    settings.set_text("demo", "datasets.demo.size=96")
    assert settings.content["datasets"]["demo"]["size"] == 96
    assert list(settings.content["runs"]["demo"]) == ["evaluations"]
    assert settings.resolve("demo").dataset.size == 96


@pytest.mark.parametrize("assignment", ["train.lr", "=0.1", ""])
def test_an_assignment_without_key_or_value_is_refused_with_an_example(root, assignment):
    with pytest.raises(Refusal, match=r"--set train\.lr=0\.1"):
        Settings(root).set_text("demo", assignment)


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(root):
    settings = Settings(root)
    settings.set_text("demo", "train.learning_rate=0.1")
    with pytest.raises(Refusal, match=r"train\.learning_rate: no such key"):
        settings.resolve("demo")
    other = Settings(root)
    other.set_text("demo", "train.weight-decay=0.1")
    with pytest.raises(Refusal, match=r"did you mean train\.weight_decay"):
        other.resolve("demo")


@pytest.mark.parametrize("content", [b"a: [", b"- a\n- b\n", b"", b"\xff\xfe", b"a: 1\na: 2\n"])
def test_a_params_yaml_that_cannot_be_read_is_one_line(tmp_path, content):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(Refusal, match=r"params\.yaml") as refused:
        Settings(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_path_that_looks_like_another_type_stays_text(root):
    for path in ("1e5", "true", "null", "2024-01-01", "a: b # c", "été", "'quoted'", " leading"):
        settings = Settings(root)
        settings.put("datasets.mine", {"path": path, "size": 72})
        settings.save()
        for content in (yaml.safe_load(written(root)), YAML(typ="safe").load(written(root))):
            assert content["datasets"]["mine"]["path"] == path
