"""pipeline/settings.py: every reader of YAML reads what is written, and the form of the rest stays."""

from __future__ import annotations

import string

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.settings import Settings
from stages.artifacts.documents import parse_generated, render_yaml
from stages.errors import Refusal

READERS = {
    "DVC and stages": YAML(typ="safe").load,
    "this program's writer": YAML().load,
    "ruamel without C": YAML(typ="safe", pure=True).load,
    "PyYAML, YAML 1.1": yaml.safe_load,
    "generated files": parse_generated,
}
ODD = ["shoot 12:30", "no", "yes", "On", "1e5", "0x10", "0o7", "1_000", "12:30:45", "a:b", "c:\\x", "~", "null", "="]
ODD += ["<<", "2024-01-01", "a #b", "%x", "@x", "фото", " lead", "trail ", "-", "? x", "!x", "&a", "*a", "x" * 300]


def written(root) -> str:
    return (root / "params.yaml").read_text(encoding="utf-8")


def refuses_or_all_read(root, key: str, value: str) -> None:
    (root / "params.yaml").write_text("runs: {}\n")
    settings = Settings(root)
    settings.put("datasets.mine", {key: value, "size": 72})
    try:
        settings.save()
    except Refusal:
        assert not value.isprintable() and written(root) == "runs: {}\n"
        return
    for name, read in READERS.items():
        assert read(written(root))["datasets"]["mine"] == {key: value, "size": 72}, name


@pytest.mark.parametrize("text", ODD)
def test_every_reader_reads_the_text_that_was_given(tmp_path, text):
    refuses_or_all_read(tmp_path, "path", text)
    assert READERS["DVC and stages"](written(tmp_path))["datasets"]
    for read in (READERS["DVC and stages"], READERS["generated files"]):
        assert read(render_yaml({text: {"path": text}})) == {text: {"path": text}}


@pytest.mark.parametrize("name", ["no", "12", "1e5", "null", "on"])
def test_every_reader_reads_the_name_of_a_run_as_text(tmp_path, name):
    (tmp_path / "params.yaml").write_text("runs: {}\n")
    settings = Settings(tmp_path)
    settings.put(f"runs.{name}", {"dataset": name})
    settings.put(f"runs.{name}.epochs", 3)
    settings.save()
    for reader, read in READERS.items():
        assert read(written(tmp_path)) == {"runs": {name: {"dataset": name, "epochs": 3}}}, reader


@hypothesis.settings(max_examples=100, deadline=None)
@given(st.text(st.one_of(st.sampled_from(string.punctuation + string.whitespace + "09azé"), st.characters())))
def test_any_text_is_read_by_all_or_refused_with_nothing_written(tmp_path_factory, text):
    refuses_or_all_read(tmp_path_factory.mktemp("texts"), "path", text)


LONG = "  long: {" + ", ".join(f"key{n}: {n}" for n in range(40)) + "}"
FORMS = f"""\
a:   {{ b: 1 }}    # two spaces
runs:
{LONG}
  words: {"word " * 40}
  demo: {{}}
"""


def test_a_file_without_edits_keeps_its_bytes(tmp_path):
    (tmp_path / "params.yaml").write_text(FORMS)
    settings = Settings(tmp_path)
    assert settings.save() is False
    settings.put("a.b", 1)
    assert settings.save() is False
    assert written(tmp_path) == FORMS


def test_an_edit_leaves_long_lines_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text(FORMS)
    settings = Settings(tmp_path)
    settings.put("runs.demo.epochs", 3)
    assert settings.save() is True
    lines = written(tmp_path).splitlines()
    assert LONG in lines
    assert f"  words: {'word ' * 40}".rstrip() in lines
    assert len(lines) == len(FORMS.splitlines()) + 1


def test_a_file_that_dvc_cannot_read_is_named_before_anything_is_done(tmp_path):
    (tmp_path / "params.yaml").write_text("datasets:\n  mine: {path: /shoot/a:b}\nruns: {}\n")
    with pytest.raises(Refusal, match=r"params\.yaml is no valid YAML.*line 2.*quotes") as refused:
        Settings(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["recipe", "final", "init"])
def test_what_an_older_params_yaml_lacks_is_put_there_since_dvc_follows_it(make_project, name):
    project = make_project(plan=False)
    content = yaml.safe_load(written(project.root))
    default = content.pop(name)
    project.path("params.yaml").write_text(yaml.safe_dump(content))
    settings = Settings(project.root)
    settings.resolve("demo")
    settings.save()
    assert yaml.safe_load(written(project.root))[name] == default
