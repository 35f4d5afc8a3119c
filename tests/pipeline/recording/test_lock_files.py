"""pipeline/recording/lock_files.py: a dvc.lock as it is read, kept, and restored after a kill cut it short."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.recording.lock_files import keep_lock, restore_lock
from stages.artifacts.records import readable_lock
from stages.dag.names import PREVIOUS_LOCK


def test_a_lock_is_removed_where_none_was_kept(tmp_path):
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a:\n   -")
    restore_lock(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_loads_is_left_alone(tmp_path):
    (tmp_path / "dvc.lock").write_text("stages: {a: {cmd: x}}\n")
    (tmp_path / PREVIOUS_LOCK).write_text("stages: {}")
    restore_lock(tmp_path)
    assert (tmp_path / "dvc.lock").read_text() == "stages: {a: {cmd: x}}\n"
    assert readable_lock(tmp_path / "dvc.lock") == {"a": {"cmd": "x"}}


def test_the_kept_lock_is_a_file_of_its_own(tmp_path):
    # DVC writes dvc.lock in place: a link would change with it.
    (tmp_path / "dvc.lock").write_text("stages: {a: {cmd: x}}\n")
    keep_lock(tmp_path)
    with open(tmp_path / "dvc.lock", "r+") as file:
        file.truncate(3)
    assert (tmp_path / PREVIOUS_LOCK).read_text() == "stages: {a: {cmd: x}}\n"
    restore_lock(tmp_path)
    assert readable_lock(tmp_path / "dvc.lock") == {"a": {"cmd": "x"}}


def test_a_lock_is_read_as_dvc_reads_it(finished):
    locks = [*finished.path("data").rglob("dvc.lock")]
    assert len(locks) == 5
    for lock in locks:
        assert readable_lock(lock) == YAML(typ="safe").load(lock)["stages"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(VALUE, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@hypothesis.settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXT, VALUES))
def test_parameters_in_a_lock_are_read_as_dvc_reads_them(tmp_path_factory, values):
    lock = tmp_path_factory.mktemp("odd") / "dvc.lock"
    stages = {"a": {"cmd": "x", "params": {"params.yaml": values}}}
    # As DVC writes it.
    writer = YAML()
    writer.default_flow_style = False
    with open(lock, "wb") as file:
        writer.dump({"stages": stages}, file)
    # Which is not always what was written: of some odd texts, ruamel loses a blank where it folds a line.
    assert readable_lock(lock) == YAML(typ="safe").load(lock)["stages"]


ODD = {
    "a node within itself": "stages: &a\n  x: *a\n",
    "a key that is a list": "stages:\n  ? [a]\n  : b\n",
    "a date that is none": "stages: {a: 2024-99-99}\n",
    "a number that is none": "stages: {a: !!int x}\n",
    "a list": "- a\n",
    "a truth that is none": "stages: {a: !!bool x}\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_what_is_no_lock_is_none(tmp_path, text):
    (tmp_path / "dvc.lock").write_text(text)
    assert readable_lock(tmp_path / "dvc.lock") is None
