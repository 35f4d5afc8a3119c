"""pipeline/recording/planning.py: which dvc.yaml files are written, and what planning refuses."""

from __future__ import annotations

import pytest
from pipeline_helpers import params_of, planned_files, quiet

from pipeline.plan import plan as plan_command
from pipeline.preparing import Request
from pipeline.recording.planning import write_run
from stages.errors import Refusal


def test_adding_epochs_writes_the_new_ones_final_and_the_runs_dvc_yaml_only(finished_copy):
    before = planned_files(finished_copy.root)
    finished_copy.edit({"epochs": 3})
    write_run(finished_copy.root, params_of(finished_copy.root))
    after = planned_files(finished_copy.root)
    differ = {name for name in before | after if before.get(name) != after.get(name)}
    run = "data/runs/demo"
    assert differ == {f"{run}/epochs/0003/dvc.yaml", f"{run}/final/dvc.yaml", f"{run}/dvc.yaml"}
    assert "../epochs/0003/checkpoint.pt" in after[f"{run}/final/dvc.yaml"]
    assert "epochs/0003/metrics.json" in after[f"{run}/dvc.yaml"]


@pytest.mark.parametrize("left", [None, "", "stages: {}\n", "a: {}\n", "stages: [", "stages: {cluster: }\n"])
def test_a_dvc_yaml_that_is_missing_or_damaged_is_written_again(finished_copy, left):
    path = finished_copy.run_path("epochs/0001/dvc.yaml")
    before = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_text(left)
    assert "nothing to do" in finished_copy.run()
    assert path.read_bytes() == before


def test_fewer_epochs_than_recorded_is_refused_and_deletes_nothing(finished_copy):
    before = finished_copy.tree(), planned_files(finished_copy.root)
    with pytest.raises(
        Refusal,
        match=r"epochs: 1 is fewer than the 2 recorded.*nothing was deleted.*branch --from demo@1 .*--epochs 1`",
    ):
        plan_command(finished_copy.root, Request("demo", epochs=1, yes=True), quiet())
    finished_copy.edit({"epochs": 1})
    with pytest.raises(Refusal, match="fewer"):
        write_run(finished_copy.root, params_of(finished_copy.root))
    assert (finished_copy.tree(), planned_files(finished_copy.root)) == before


def test_epochs_planned_and_never_begun_leave_the_plan_when_fewer_are_asked_for(make_project):
    project = make_project(change={"epochs": 4})
    project.edit({"epochs": 1})
    project.plan()
    assert [path.name for path in sorted(project.run_path("epochs").iterdir())] == ["0001"]


def test_run_tells_of_planned_epochs_that_it_drops(finished_copy, cli):
    assert cli(finished_copy.root, "plan", "--epochs", "4").status == 0
    told = cli(finished_copy.root, "run", "--epochs", "2").out
    assert "run demo: 2 planned epochs beyond 2 dropped\n" in told
    assert "dropped" not in cli(finished_copy.root, "run").out


def test_another_cluster_every_is_refused_where_a_dvc_yaml_is_missing_too(finished_copy):
    finished_copy.run_path("epochs/0002/dvc.yaml").unlink()
    finished_copy.edit({"cluster": {"every": 2}})
    with pytest.raises(Refusal, match=r"cluster\.every: epoch 2 .* recorded with the stages .*branch"):
        finished_copy.run()


@pytest.mark.parametrize("yes", [False, True])
def test_another_cluster_every_on_recorded_epochs_is_refused(finished_copy, yes):
    before = finished_copy.tree(), finished_copy.path("params.yaml").read_text(), planned_files(finished_copy.root)
    with pytest.raises(Refusal, match=r"cluster\.every: epoch 2 .*branch --from demo@1") as refused:
        plan_command(finished_copy.root, Request("demo", sets=["cluster.every=2"], yes=yes), quiet())
    assert "\n" not in str(refused.value)
    after = finished_copy.tree(), finished_copy.path("params.yaml").read_text(), planned_files(finished_copy.root)
    assert after == before
