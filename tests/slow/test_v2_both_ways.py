"""pipeline/ and stages/ together by `recipe: deepcluster-v2`: `dvc repro`, `pipeline run` and kills give the same."""

import pytest
from projects import Project, small_project, tree
from slow_helpers import Held, assert_same, commit, copied, dvc_status, pipeline_status, repro
from v2_helpers import V2

pytestmark = pytest.mark.slow


def locks(project: Project) -> dict[str, str]:
    return {str(path.relative_to(project.root)): path.read_text() for path in project.root.rglob("dvc.lock")}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = small_project(tmp_path_factory.mktemp("reproduced_v2") / "project", V2)
    commit(project)
    repro(project)
    return project


def test_dvc_repro_and_pipeline_run_give_the_same_bytes_and_locks(reproduced, finished_v2):
    by_dvc = reproduced.tree()
    for name in ("features.zarr/c.2.0.0", "centroids.npy", "trained/checkpoint.pt", "pseudolabels.parquet"):
        assert f"runs/demo/epochs/0002/{name}" in by_dvc
    assert_same(by_dvc, finished_v2.tree())
    assert locks(reproduced) == locks(finished_v2)
    assert dvc_status(reproduced) == set()
    assert pipeline_status(reproduced) == {}


def test_dvc_repro_refuses_another_recipe_in_one_line_and_changes_nothing(reproduced, tmp_path):
    project = copied(reproduced, tmp_path)
    project.edit({"recipe": "deepcluster", "whiten": {"dim": 16}})
    before = tree(project.path("data")), locks(project)
    done = project.command("dvc", "repro")
    assert done.returncode != 0
    told = [line for line in (done.stdout + done.stderr).splitlines() if "recipe" in line]
    assert len(told) == 1 and "recipe: deepcluster is not what epoch 1 is planned for" in told[0]
    assert "Traceback" not in done.stdout + done.stderr
    after = {name: content for name, content in tree(project.path("data")).items() if ".partial-resolve" not in name}
    assert_same(after, before[0])
    assert locks(project) == before[1]


@pytest.mark.parametrize("at", ["features.zarr/c.1.0.0", "trained/steps.parquet", "assignments.parquet"])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path, finished_v2, at):
    project = small_project(tmp_path / "project", V2, plan=False)
    with Held(project, "python", "-m", "pipeline", "run", at=at):
        pass
    assert not project.run_path("final").exists()
    done = project.pipeline("run")
    assert done.returncode == 0, done.stderr
    assert_same(project.tree(), finished_v2.tree())
