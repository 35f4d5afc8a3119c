"""pipeline/ and stages/resolve.py: another recipe is another run, which recorded epochs do not follow."""

from __future__ import annotations

import json

import pytest
from pipeline_helpers import content_of, params_of
from projects import merged, small_project
from retention_helpers import assert_clean
from stage_helpers import RUN, refused, run_one
from v2_helpers import V2

from pipeline import open_run
from pipeline.results.verdict import verdict

OTHER = {"v2_copy": "deepcluster", "finished_copy": "deepcluster-v2"}


@pytest.fixture(params=OTHER)
def edited(request):
    """A finished run, and the other recipe in params.yaml; and what it was made by."""
    project = request.getfixturevalue(request.param)
    project.edit({"recipe": OTHER[request.param], "whiten": {"dim": 16}})
    return project


def everything(project):
    return {
        str(path): path.read_bytes()
        for path in [project.path("params.yaml"), *project.path("data").rglob("*")]
        if path.is_file() and path.name not in ("log.txt", ".lock")
    }


@pytest.mark.parametrize("options", [{}, {"yes": True}, {"epochs": 3}])
def test_run_refuses_it_in_one_line_and_changes_nothing(edited, options):
    before = everything(edited)
    recipe = content_of(edited.root)["recipe"]
    assert refused(lambda: edited.run(**options)) == (
        f"params.yaml: recipe: epoch 1 of run demo was made by another than {recipe}: `python -m pipeline run "
        f"--run NAME --dataset demo --set recipe={recipe}` begins a run by that"
    )
    assert everything(edited) == before


def test_plan_prune_and_set_refuse_it_alike(edited, cli):
    before = everything(edited)
    for words in (["plan"], ["prune", "--set", "retain.last=1"], ["run", "--set", "seed=3", "--yes"]):
        assert "params.yaml: recipe: epoch 1 of run demo" in cli.refused(edited.root, *words)
    assert everything(edited) == before


def test_a_recipe_given_by_set_is_refused_and_not_written(v2_copy, cli):
    before = everything(v2_copy)
    line = cli.refused(v2_copy.root, "run", "--set", "recipe=deepcluster", "--set", "whiten.dim=16", "--yes")
    assert "params.yaml: recipe: epoch 1" in line
    assert everything(v2_copy) == before


def test_the_stage_that_dvc_begins_with_refuses_it(edited):
    before = everything(edited)
    recipe = content_of(edited.root)["recipe"]
    line = refused(lambda: run_one(edited, "resolve", ""))
    assert line.startswith(f"recipe: {recipe} is not what epoch 1 is planned for: `python -m pipeline plan --run demo`")
    after = {name: content for name, content in everything(edited).items() if ".partial-resolve" not in name}
    assert after == before


def test_it_is_refused_where_the_plans_are_lost_and_the_records_tell(edited):
    for path in (edited.root / RUN / "epochs").glob("*/dvc.yaml"):
        path.unlink()
    before = everything(edited)
    assert "params.yaml: recipe: epoch 1 of run demo" in refused(lambda: edited.run(yes=True))
    assert everything(edited) == before


def test_it_is_refused_where_earlier_epochs_are_pruned(v2_copy):
    """A guard has the same inputs and outputs by both recipes, but the last epoch stays whole."""
    v2_copy.edit({"retain": {"last": 1}})
    v2_copy.run()
    assert "pruned" in (v2_copy.root / RUN / "epochs/0001/dvc.yaml").read_text()
    v2_copy.edit({"recipe": "deepcluster", "whiten": {"dim": 16}})
    assert "params.yaml: recipe: epoch 2 of run demo" in refused(lambda: v2_copy.run(yes=True))


@pytest.mark.parametrize(("first", "second"), [("deepcluster", "deepcluster-v2"), ("deepcluster-v2", "deepcluster")])
def test_a_run_without_epochs_is_planned_anew_for_it(tmp_path, first, second):
    change = merged(V2, {"recipe": first, "epochs": 0, "whiten": {"dim": 16}})
    project = small_project(tmp_path / "project", change, plan=False)
    project.run()
    project.edit({"recipe": second})
    line = refused(lambda: run_one(project, "resolve", ""))
    assert line.startswith(f"recipe: {second} is not what final is planned for: `python -m pipeline plan --run demo`")
    project.run(yes=True)
    assert ("whiten" in project.run_path("final/dvc.yaml").read_text()) == (second == "deepcluster")
    assert open_run("demo", project.root).features("final").read().ndim == (2 if second == "deepcluster" else 3)
    assert_clean(project)


def test_a_run_of_its_own_by_the_other_recipe_stands_beside_the_first(finished_copy):
    before = finished_copy.tree()
    model = ["model.architecture=resnet10-cifar", "model.input=16", "model.projection.dim=8", "cluster.heads=2"]
    finished_copy.run("other", dataset="demo", epochs=1, sets=["recipe=deepcluster-v2", "train.views=2", *model])
    params = params_of(finished_copy.root, "other")
    assert (params.recipe, params.cluster.heads) == ("deepcluster-v2", 2)
    assert open_run("other", finished_copy.root).centroids("final").shape[0::2] == (2, 8)
    assert {name: finished_copy.tree()[name] for name in before} == before


def test_an_evaluation_takes_the_network_without_its_projection(v2_copy):
    change = {
        "datasets": {"demo-test": {"size": 24, "generate": {"images": 30}}},
        "evaluations": {"demo-knn": {"per_class": 3, "k": [3]}},
        # Measured beside the demo.
        "runs": {"demo-random": {"evaluations": []}},
    }
    v2_copy.edit(change)
    v2_copy.run(evaluations=["demo-knn"])
    result = json.loads(v2_copy.run_path("evaluations/demo-knn/result.json").read_text())
    assert result["network"]["architecture"] == "resnet10-cifar"
    assert "projection" not in result["network"]


def test_advice_at_a_standstill_is_none_that_the_recipe_ignores(finished, finished_v2):
    found = []
    for project in (finished, finished_v2):
        summary = json.loads(project.run_path("summary.json").read_text()) | {"loss_to_chance": 1.0, "collapsed": False}
        found.append(verdict(summary, params_of(project.root))[-1])
    # By cosines to centroids, guessing is not where a loss begins.
    assert "standstill" in found[0] and "train.top_momentum=0.9" in found[0]
    assert "standstill" not in found[1] and "train.top_momentum" not in found[1]
