"""pipeline/ending.py, rerun.py and prune.py on runs that are not finished; pipeline/preparing.py on shared pictures."""

import shutil

import pytest
import yaml
from pipeline_helpers import params_of

from pipeline.recording.dvc_yaml import growing_yaml, guard_yaml
from pipeline.recording.planning import write_run
from pipeline.results.inventory import runs
from stages.dag.graph import pruned_node


def stages_of(project, name="dvc.yaml"):
    return yaml.safe_load(project.run_path(name).read_text())["stages"]


def test_what_an_epoch_left_before_its_first_record_goes_with_it(finished_copy):
    before = finished_copy.tree()
    part = finished_copy.run_path("epochs/0003/.partial-extract/features.zarr")
    part.mkdir(parents=True)
    told = finished_copy.run()
    assert "epoch 3 of run demo was begun and is dropped\n" in told
    assert not finished_copy.run_path("epochs/0003").exists()
    assert finished_copy.tree() == before


def test_a_run_that_rerun_completes_is_no_longer_unfinished(finished_copy, cli):
    params = params_of(finished_copy.root)
    there = stages_of(finished_copy)
    ends = {name: there[name] for name in ("weights", "baseline", "export", "figures")}
    for name, text in growing_yaml(params, {}, ends).items():
        finished_copy.path(name).write_text(text)
    assert "unfinished" in stages_of(finished_copy)
    assert cli(finished_copy.root, "rerun", "export", "--follow").status == 0
    assert list(stages_of(finished_copy)) == ["resolve", "init", "weights", "baseline", "export", "figures"]


def test_pruning_an_unfinished_run_plans_nothing_ahead(finished_copy, cli):
    finished_copy.edit({"epochs": 4})
    params = params_of(finished_copy.root)
    write_run(finished_copy.root, params, ahead=False)
    # A kill came between the guard and its record.
    for name, text in guard_yaml(pruned_node(params, 1, network=True, checkpoint=True)).items():
        finished_copy.path(name).write_text(text)
    assert cli(finished_copy.root, "prune", "--set", "retain.last=1").status == 0
    assert not finished_copy.run_path("epochs/0003/dvc.yaml").exists()
    assert "unfinished" in stages_of(finished_copy)


def test_another_run_asks_before_it_packs_the_pictures_of_recorded_epochs_again(finished_copy, cli):
    before = finished_copy.path("data/images/demo/pack.json").read_bytes()
    words = ("run", "--run", "b", "--dataset", "demo", "--epochs", "0", "--set", "datasets.demo.size=80")
    told = cli.refused(finished_copy.root, *words)
    assert "datasets.demo.size has changed since they were packed" in told
    assert "run demo (2 epochs: 1, 2" in told and "--yes" in told
    assert finished_copy.path("data/images/demo/pack.json").read_bytes() == before
    assert "  b:" not in finished_copy.path("params.yaml").read_text()


def test_runs_counts_the_epochs_of_a_branch_alone(finished_copy, cli):
    assert cli(finished_copy.root, "branch", "--from", "demo@1", "--run", "b").status == 0
    finished_copy.run("b")
    row = runs(finished_copy.root).set_index("run").loc["b"]
    assert (row["epochs"], row["planned"]) == (1, 1)


def test_what_final_groups_otherwise_is_not_taken_from_an_epoch_that_is_begun(finished_copy, monkeypatch):
    finished_copy.run(sets=["final.whiten.scale=false"])
    assignments = finished_copy.run_path("final/assignments.parquet")
    expected = assignments.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("stages.train.train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finished_copy.run(epochs=3)
    assert finished_copy.run_path("epochs/0003/whitened.zarr").exists()
    shutil.rmtree(finished_copy.run_path("final"))
    told = finished_copy.run(epochs=2)
    assert "what it was clustered by (extract) is final/'s" in told
    assert assignments.read_bytes() == expected
