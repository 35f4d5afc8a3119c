"""A user's own folder of photographs, as in the README: run, embed, more pictures, pack again."""

import os

import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image
from projects import Project, small_project, tree
from slow_helpers import assert_same, commit, stages_run

pytestmark = pytest.mark.slow


def photograph(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return small.resize((110 + seed % 9, 84), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> Project:
    """A clone in which `run --images` has been given a folder; the pictures lie beside the clone."""
    folder = tmp_path_factory.mktemp("mine")
    for number in range(90):
        path = folder / "photos" / ("cats", "dogs", "harbours")[number % 3] / f"{number} é.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number).save(path, quality=90)
    project = small_project(folder / "project", plan=False)
    commit(project)
    return project


@pytest.fixture(scope="module")
def first(mine):
    return mine.pipeline("run", "--run", "mine", "--images", "../photos", "--epochs", "1")


def test_a_folder_runs_at_first_try_with_values_that_fit_it(mine, first):
    assert first.returncode == 0, first.stderr
    # 2 sqrt(90) is 19, a short side 84 pixels.
    assert (
        "/photos, stored at 84 pixels; resnet10 of width 0.5 on 64 pixels, k 19, 1 epoch of 20 passes:" in first.stdout
    )
    assert "written under runs.mine and datasets.mine in params.yaml" in first.stdout
    assert "Traceback" not in mine.run_path("log.txt", "mine").read_text()
    history = pd.read_csv(mine.run_path("history.csv", "mine"))
    assert history["epoch"].tolist() == [1, 2]
    assert history["nmi_labels"].between(0, 1).all()


def test_the_same_command_finds_nothing_to_do(mine, first):
    before = stages_run(mine, "mine"), mine.path("params.yaml").read_bytes()
    again = mine.pipeline("run", "--run", "mine", "--images", "../photos", "--epochs", "1")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert (stages_run(mine, "mine"), mine.path("params.yaml").read_bytes()) == before


def test_embedding_the_training_folder_gives_final_again(mine, first, tmp_path):
    done = mine.pipeline("embed", "--run", "mine", "../photos", "-o", tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    out = pd.read_parquet(tmp_path / "out.parquet")
    manifest = pd.read_parquet(mine.path("data/images/mine/manifest.parquet"))
    final = pd.read_parquet(mine.run_path("final/assignments.parquet", "mine"))
    assert [os.fsencode(path) for path in out["path"]] == manifest["path"].tolist()
    np.testing.assert_array_equal(out["cluster"], final["cluster"])
    np.testing.assert_array_equal(out["distance"], final["distance"])
    white = zarr.open_array(mine.run_path("final/whitened.zarr", "mine"), mode="r")[:]
    np.testing.assert_array_equal(np.stack(out["embedding"]), white)


def test_a_new_picture_is_told_and_nothing_runs_until_it_is_packed(mine, first):
    photos = mine.root.parent / "photos"
    before = tree(mine.path("data"))
    photograph(1000).save(photos / "cats/new.jpg")
    (photos / "dogs/1 é.jpg").rename(photos / "dogs/renamed.jpg")
    status = mine.pipeline("status", "--run", "mine")
    assert status.returncode == 0, status.stderr
    assert "2 new, 1 gone since it was packed: `python -m pipeline rerun pack --dataset mine`" in status.stdout
    (photos / "dogs/renamed.jpg").rename(photos / "dogs/1 é.jpg")
    status = mine.pipeline("status", "--run", "mine")
    assert "1 new, 0 gone since it was packed" in status.stdout
    assert "all 16 stages are done" in status.stdout
    ran = stages_run(mine, "mine")
    run = mine.pipeline("run", "--run", "mine")
    assert run.returncode == 0, run.stderr
    assert "1 new, 0 gone" in run.stdout and "nothing to do" in run.stdout
    assert stages_run(mine, "mine") == ran
    assert_same(tree(mine.path("data")), before)
    for words in (["--dataset", "mine"], ["--run", "mine"]):
        refused = mine.pipeline("rerun", "pack", *words)
        assert refused.returncode == 1
        assert "1 new, 0 gone since it was packed" in refused.stderr and refused.stderr.count("\n") == 1
        assert "run mine (1 epoch: 1, " in refused.stderr and "add --yes" in refused.stderr
    assert_same(tree(mine.path("data")), before)
    packed = mine.pipeline("rerun", "pack", "--dataset", "mine", "--yes")
    assert packed.returncode == 0, packed.stderr
    assert "data set mine is packed again" in packed.stdout
    status = mine.pipeline("status", "--run", "mine")
    assert "since it was packed" not in status.stdout
    assert "next: data/runs/mine" in status.stdout
    assert len(pd.read_parquet(mine.path("data/images/mine/manifest.parquet"))) == 91
