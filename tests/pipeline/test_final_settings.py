"""The section `final`: groups of the finished network that are made otherwise than those of the epochs."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline import open_run
from stages.errors import Refusal


def bytes_of_epochs(project):
    folder = project.run_path("epochs")
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_other_groups_need_no_training(finished_copy):
    before = bytes_of_epochs(finished_copy)
    told = finished_copy.run(sets=["final.cluster.k=5", "final.whiten.scale=false"])
    run = open_run("demo", finished_copy.root)
    assert run.assignments("final")["cluster"].nunique() == 5
    assert run.assignments(2)["cluster"].nunique() == 10
    assert run.centroids("final").shape == (5, 32)
    assert bytes_of_epochs(finished_copy) == before
    assert "k-means on pixels" in told
    assert run.history().iloc[-1]["clusters"] == 5


def test_the_network_sees_pictures_as_final_says_and_new_ones_land_in_their_groups(cli, finished_copy, tmp_path):
    before = open_run("demo", finished_copy.root).features("final").read()
    finished_copy.run(sets=["final.extract.view=five-crop"])
    run = open_run("demo", finished_copy.root)
    assert not (run.features("final").read() == before).all(axis=1).any()
    pictures = finished_copy.path("data/images/demo/pictures")
    assert cli(finished_copy.root, "embed", pictures, "-o", tmp_path / "own.parquet").status == 0
    own = pd.read_parquet(tmp_path / "own.parquet")
    assert own["cluster"].tolist() == run.assignments("final")["cluster"].tolist()
    assert own["distance"].tolist() == run.assignments("final")["distance"].tolist()


def test_pixels_are_grouped_into_as_many_as_final(finished_copy):
    finished_copy.run(sets=["final.cluster.k=7"])
    assert open_run("demo", finished_copy.root).history()["pixels_ami"].notna().all()
    assert '"clusters": 7' in finished_copy.run_path("baseline.json").read_text()


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("final.cluster.k=171", "final.cluster.k: 171 clusters for 170 pictures; --set final.cluster.k=8"),
        ("final.whiten.dim=300", "final.whiten.dim: 300 is more than the 256 features"),
        ("final.extract.input=32", "final.extract.input: alexnet takes pictures of model.input alone, 64 pixels"),
        ("final.cluster.iterations=3", "final.cluster.iterations: no such key"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(finished_copy, assignment, words):
    with pytest.raises(Refusal) as told:
        finished_copy.run(sets=[assignment])
    assert words in str(told.value)


@pytest.mark.slow
def test_dvc_repro_follows_an_edit_of_final_alone(finished_copy):
    before = bytes_of_epochs(finished_copy)
    finished_copy.edit({"final": {"cluster": {"k": 6}}})
    ended = finished_copy.command("dvc", "repro", "--quiet", "data/runs/demo/dvc.yaml")
    assert ended.returncode == 0, ended.stderr
    assert open_run("demo", finished_copy.root).assignments("final")["cluster"].nunique() == 6
    assert bytes_of_epochs(finished_copy) == before
