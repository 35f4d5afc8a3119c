"""pipeline/evaluate.py and all that knows evaluations: what a change of one reaches, and what is computed for it."""

from __future__ import annotations

import shutil

import pytest
import yaml
from evaluation_helpers import ENTRIES, edited, folder, params_with
from pipeline_helpers import content_of, flip_byte, params_of
from slow_helpers import assert_same, stages_run
from stage_helpers import files

from pipeline import open_run
from pipeline.recording import inspector as inspector_module
from pipeline.recording.inspector import of_run
from pipeline.recording.recorder import Recorder
from stages.dag.graph import end_nodes, evaluation_nodes
from stages.dag.revisions import revision_of

NAMES = list(ENTRIES)


def stale(project, run="demo") -> set[str]:
    """What is out of date by itself, as `status` finds it: stages, and evaluations by their names."""
    found = of_run(project.root, params_of(project.root, run))
    return {named(status.node) for status in found if status.state != "done" and not status.inherited}


def named(node) -> str:
    return node.folder.rpartition("/")[2] if "/evaluations/" in node.folder else node.stage


def changed(project, run="demo") -> set[str]:
    """Likewise the evaluations and the weights, as DVC finds it."""
    params = params_with(project, run)
    recorder = Recorder(project.root)
    nodes = [*evaluation_nodes(params), *end_nodes(params)]
    found = {named(node) for node in nodes if recorder.changed(node)}
    recorder.close()
    return found


def test_what_is_measured_is_up_to_date_for_status_dvc_and_verify(cli, evaluated):
    for run in ("demo", "demo-random"):
        assert stale(evaluated, run) == changed(evaluated, run) == set()
        assert "stages are done" in cli(evaluated.root, "status", "--run", run).out
        assert "0 differ" in cli(evaluated.root, "verify", "--run", run).out


def test_a_change_of_an_entry_reaches_its_evaluation_alone(evaluated_copy):
    text = evaluated_copy.path("params.yaml").read_text()
    for name, keys in {"knn": {"k": [1]}, "linear": {"rates": {"conv1": {"lr": 0.1}}}, "oxford": {"levels": 2}}.items():
        edited(evaluated_copy, name, **keys)
        assert stale(evaluated_copy) == changed(evaluated_copy) == {name}
        evaluated_copy.path("params.yaml").write_text(text)
    assert stale(evaluated_copy) == set()


@pytest.mark.parametrize("protocol", ["knn", "detection"])
def test_a_raised_revision_reaches_its_protocol_alone(evaluated_copy, monkeypatch, protocol):
    module = evaluated_copy.path(f"stages/{protocol}.py")
    module.write_text(module.read_text().replace("\nREVISION = ", "\nREVISION = 1"))
    assert changed(evaluated_copy) == {protocol}
    monkeypatch.setattr(inspector_module, "revision_of", lambda name: revision_of(name) + (name == protocol))
    assert stale(evaluated_copy) == {protocol}


def test_a_docstring_reaches_none(evaluated_copy):
    module = evaluated_copy.path("stages/knn.py")
    module.write_text(module.read_text().replace('"""', '"""Edited. ', 1))
    assert changed(evaluated_copy) == set()


def test_a_change_of_training_reaches_every_evaluation(evaluated_copy):
    evaluated_copy.edit({"train": {"lr": 0.3}})
    states = of_run(evaluated_copy.root, params_of(evaluated_copy.root))
    behind = {named(status.node) for status in states if status.state == "stale"}
    assert {"train", "weights", *NAMES} <= behind


def test_another_run_of_the_weights_of_a_run_reaches_every_evaluation(evaluated_copy):
    flip_byte(evaluated_copy.run_path("model.safetensors"))
    assert changed(evaluated_copy) == {"weights", *NAMES}


def test_a_seed_reaches_the_evaluations_too(evaluated_copy):
    own = evaluated_copy.run_path("params.yaml")
    own.write_text(own.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    assert changed(evaluated_copy) >= set(NAMES)


def test_a_new_evaluation_retrains_nothing_and_is_entered_for_the_run(cli, evaluated_copy):
    evaluated_copy.edit({"evaluations": {"near": ENTRIES["knn"] | {"k": [3]}}})
    before, ran = evaluated_copy.tree(), stages_run(evaluated_copy)
    ended = cli(evaluated_copy.root, "evaluate", "near")
    assert ended.status == 0, ended.err
    # `resolve` follows the run's entry, in which the new name stands.
    assert stages_run(evaluated_copy)[len(ran) :] == [":resolve", ":knn"]
    assert content_of(evaluated_copy.root)["runs"]["demo"]["evaluations"] == [*NAMES, "near"]
    after = evaluated_copy.tree()
    assert_same({name: after[name] for name in before}, before)
    new = {name.rpartition("/")[2] for name in after.keys() - before.keys()}
    assert new == {"predictions.parquet", "numbers.json", "result.json"}
    assert not {"resolve", "weights", "train", "extract", *NAMES, "near"} & stale(evaluated_copy)
    states = {named(one.node): one.state for one in of_run(evaluated_copy.root, params_of(evaluated_copy.root))}
    assert states["train"] == states["weights"] == states["near"] == "done"
    evaluated_copy.run()
    assert stages_run(evaluated_copy)[len(ran) :] == [":resolve", ":knn", ":tables"]


def test_other_edits_are_not_taken_up_with_a_new_evaluation(cli, evaluated_copy):
    evaluated_copy.edit({"evaluations": {"near": ENTRIES["knn"] | {"k": [3]}}, "train": {"lr": 0.3}})
    own = evaluated_copy.run_path("params.yaml").read_bytes()
    assert cli(evaluated_copy.root, "evaluate", "near").status == 0
    assert evaluated_copy.run_path("params.yaml").read_bytes() == own
    assert "resolve" in stale(evaluated_copy)


def test_evaluate_alone_computes_what_is_behind(cli, evaluated_copy):
    edited(evaluated_copy, "mlp", hidden=8)
    shutil.rmtree(folder(evaluated_copy, "caffe"))
    before = stages_run(evaluated_copy)
    assert cli(evaluated_copy.root, "evaluate").status == 0
    assert stages_run(evaluated_copy)[len(before) :] == [":mlp", ":voc_classification"]
    assert cli(evaluated_copy.root, "evaluate").status == 0
    assert len(stages_run(evaluated_copy)) == len(before) + 2


def test_rerun_takes_the_name_of_an_evaluation_and_of_a_set(cli, evaluated_copy):
    before, ran = evaluated_copy.tree(), stages_run(evaluated_copy)
    assert cli(evaluated_copy.root, "rerun", "caffe").status == 0
    assert stages_run(evaluated_copy)[len(ran) :] == [":voc_classification"]
    for name in ("demo-paris", "demo-voc"):
        index = evaluated_copy.path(f"data/evaluation/{name}/index.json")
        made = index.stat().st_mtime_ns
        assert f"{name}:index is made again" in cli(evaluated_copy.root, "rerun", name).out
        assert index.stat().st_mtime_ns > made
    assert_same(evaluated_copy.tree(), before)
    line = cli.refused(evaluated_copy.root, "rerun", "voc_classification")
    assert "give in its place one of classification, caffe" in line
    assert "no stage nope" in cli.refused(evaluated_copy.root, "rerun", "nope")


def test_verify_names_a_result_that_was_edited_and_rerun_mends_it(cli, evaluated_copy):
    path = folder(evaluated_copy, "oxford") / "result.json"
    before = path.read_bytes()
    flip_byte(path)
    ended = cli(evaluated_copy.root, "verify")
    assert ended.status == 1 and "evaluations/oxford/result.json differs" in ended.out
    assert cli(evaluated_copy.root, "evaluate", "oxford").status == 0
    assert path.read_bytes() == before


def test_an_evaluation_whose_data_is_absent_is_left_out_by_run_and_refused_by_evaluate(cli, evaluated_copy):
    evaluated_copy.edit({"evaluations": {"far": {"protocol": "retrieval", "test": "oxford5k", "whiten": "paris6k"}}})
    evaluated_copy.edit({"runs": {"demo": {"evaluations": [*NAMES, "far"]}}})
    line = cli.refused(evaluated_copy.root, "evaluate", "far")
    assert "evaluation far: evaluation_sets.oxford5k: there is no /data/oxford5k; `python -m pipeline data`" in line
    before = files(evaluated_copy.path("data/tables"))
    told = evaluated_copy.run()
    assert "evaluation far is left out: evaluation_sets.oxford5k: there is no /data/oxford5k" in told
    assert not folder(evaluated_copy, "far").exists()
    assert files(evaluated_copy.path("data/tables")) == before
    assert cli(evaluated_copy.root, "status").status == 0
    assert cli(evaluated_copy.root, "verify").status == 0


def test_the_roots_plan_keeps_what_a_user_put_there(cli, evaluated_copy):
    path = evaluated_copy.path("dvc.yaml")
    path.write_text(
        path.read_text() + "  # my own report\n  report:\n    cmd: echo report\n    deps:\n      - data/tables\n"
    )
    evaluated_copy.edit({"evaluations": {"near": ENTRIES["knn"]}, "runs": {"demo": {"evaluations": [*NAMES, "near"]}}})
    assert cli(evaluated_copy.root, "plan").status == 0
    text = path.read_text()
    assert "# my own report" in text and "# The stage of the whole project" in text
    stages = yaml.safe_load(text)["stages"]
    assert stages["report"] == {"cmd": "echo report", "deps": ["data/tables"]}
    assert "data/runs/demo/evaluations/near/result.json" in stages["tables"]["deps"]
    kept = path.read_bytes()
    assert cli(evaluated_copy.root, "plan").status == 0
    assert path.read_bytes() == kept


def test_the_runs_own_pictures_are_not_needed_to_measure_it(cli, evaluated_copy):
    shutil.rmtree(evaluated_copy.path("data/images/demo"))
    shutil.rmtree(folder(evaluated_copy, "oxford"))
    before = stages_run(evaluated_copy)
    assert cli(evaluated_copy.root, "evaluate", "oxford").status == 0
    assert stages_run(evaluated_copy)[len(before) :] == [":retrieval"]
    assert not evaluated_copy.path("data/images/demo").exists()


@pytest.mark.parametrize("words", [["evaluate", "knn"], ["rerun", "whiten", "--epoch", "1", "--follow"]])
def test_recorded_epochs_keep_their_pictures_unless_told(cli, evaluated_copy, words):
    evaluated_copy.edit({"datasets": {"demo": {"chunk_mib": 2}}})
    before = evaluated_copy.tree()
    line = cli.refused(evaluated_copy.root, *words)
    assert "datasets.demo.chunk_mib has changed" in line and "run demo (2 epochs: 1, 2" in line and "--yes" in line
    assert_same(evaluated_copy.tree(), before)


def test_a_result_of_other_pictures_is_left_out_of_the_tables_and_warned_of(cli, evaluated_copy):
    pack = evaluated_copy.path("data/images/demo-test/pack.json")
    pack.write_text(pack.read_text() + " ")
    told = cli(evaluated_copy.root, "tables")
    assert "evaluations/knn/result.json is of other pictures than data/images/demo-test has now" in told.out + told.err
    assert "evaluations/oxford" not in told.out + told.err
    with pytest.warns(UserWarning, match=r"run demo: knn is of other pictures.*evaluate --run demo knn"):
        assert open_run("demo", evaluated_copy.root).evaluation("knn").numbers
    with pytest.warns(UserWarning) as warned:
        assert len(open_run("demo", evaluated_copy.root).evaluations())
    assert [str(each.message).split()[2] for each in warned] == ["knn", "linear", "mlp"]


def test_a_set_that_was_looked_through_and_is_gone_is_missed_before_a_run_begins(cli, evaluated_copy):
    shutil.copytree(evaluated_copy.path("data/evaluation/demo-paris/pictures"), evaluated_copy.path("places"))
    evaluated_copy.edit({"evaluation_sets": {"places": {"layout": "landmarks", "path": "places"}}})
    evaluated_copy.edit({"evaluations": {"far": ENTRIES["oxford"] | {"test": "places", "whiten": "demo-oxford"}}})
    assert cli(evaluated_copy.root, "evaluate", "far").status == 0
    evaluated_copy.path("places").rename(evaluated_copy.path("gone"))
    assert "evaluation_sets.places: there is no places" in cli.refused(evaluated_copy.root, "evaluate", "far")


def test_the_roots_plan_is_read_as_a_person_leaves_it(cli, evaluated_copy):
    path = evaluated_copy.path("dvc.yaml")
    evaluated_copy.edit({"evaluations": {"near": ENTRIES["knn"]}, "runs": {"demo": {"evaluations": [*NAMES, "near"]}}})
    for text in (path.read_text().rstrip(), "stages:\n", "stages:\n  tables:\n"):
        path.write_text(text)
        assert cli(evaluated_copy.root, "plan").status == 0
        deps = yaml.safe_load(path.read_text())["stages"]["tables"]["deps"]
        assert "data/runs/demo/evaluations/near/result.json" in deps
    before = evaluated_copy.tree()
    for text in ("stages: [", "stages: 3\n"):
        path.write_text(text)
        assert "mend it, or restore it with git" in cli.refused(evaluated_copy.root, "run")
    assert_same(evaluated_copy.tree(), before)
