"""`run --weights` as a user has it: a folder too small to learn from is grouped by features learnt elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import zarr
from foreign_helpers import of_torchvision, torchvision_features
from projects import Project, small_project
from slow_helpers import commit, dvc_status, since, stages_run
from stage_helpers import RUN, picture, save

from pipeline import open_run
from stages.artifacts.checkpoints import load
from stages.artifacts.run_params import load_run_params
from stages.artifacts.weights import Training, write_backbone

pytestmark = pytest.mark.slow

PLAN = "data/runs/mine/dvc.yaml"
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    return of_torchvision("resnet18")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory, theirs) -> Project:
    """A run of no epochs on 20 photographs, which begins with a file of torchvision's."""
    folder = tmp_path_factory.mktemp("grouped")
    for number in range(20):
        save(folder / "photos" / f"{number}.jpg", picture(260, 300 + number, number), quality=95)
    torch.save(theirs.state_dict(), folder / "resnet18.pth")
    project = small_project(folder / "project", plan=False)
    commit(project)
    words = ["--run", "mine", "--images", "../photos", "--weights", "../resnet18.pth", "--epochs", "0"]
    ended = project.pipeline("run", *words)
    assert ended.returncode == 0, ended.stderr
    assert "stored at 256 pixels; resnet18 of width 1 on 224 pixels" in ended.stdout
    assert "resnet18.pth: resnet18 of three colours" in ended.stdout
    return project


def test_features_are_those_of_torchvisions_network(grouped, theirs, tmp_path):
    packed = grouped.path("data/images/mine")
    manifest = pd.read_parquet(packed / "manifest.parquet")
    pixels = zarr.open_array(packed / "pixels.zarr", mode="r")
    chunk = pixels.chunks[0]
    crops = []
    for row in manifest.itertuples():
        start = row.chunk * chunk + row.offset
        whole = pixels[start : start + row.height * row.width * 3].reshape(row.height, row.width, 3)
        top, left = round((row.height - 224) / 2), round((row.width - 224) / 2)
        crops.append(whole[top : top + 224, left : left + 224].transpose(2, 0, 1))
    expected = torchvision_features(theirs, torch.from_numpy(np.stack(crops))).numpy()
    found = zarr.open_array(grouped.run_path("final/features.zarr", "mine"), mode="r")[:]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    out = tmp_path / "out.pth"
    assert grouped.pipeline("weights", "--run", "mine", "--torchvision", out).returncode == 0
    again = torchvision.models.resnet18()
    again.load_state_dict(torch.load(out, weights_only=True), strict=False)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in torch.load(out).items())


def test_groups_are_given(grouped, tmp_path):
    ended = grouped.pipeline("groups", "--run", "mine", "-o", tmp_path / "groups.csv")
    assert ended.returncode == 0, ended.stderr
    assert len(pd.read_csv(tmp_path / "groups.csv")) == 20


def repro(project: Project) -> set[str]:
    """`dvc repro` of the run; the stages that it ran."""
    before = stages_run(project, "mine")
    ended = project.command("dvc", "repro", PLAN)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return set(since(project, before, "mine"))


def stale(project: Project) -> set[str]:
    """What `dvc status` says of the run."""
    return {stage for stage in dvc_status(project) if "runs/mine" in stage}


def test_the_file_may_move_or_go_and_nothing_is_made_again(grouped):
    assert not repro(grouped)
    file, moved = grouped.path("../resnet18.pth"), grouped.path("../moved.pth")
    file.rename(moved)
    assert not repro(grouped)
    before = stages_run(grouped, "mine")
    assert grouped.pipeline("run", "--run", "mine", "--weights", "../moved.pth").returncode == 0
    assert set(since(grouped, before, "mine")) == {":resolve"}
    assert stale(grouped) == set()
    checkpoint = grouped.run_path("epochs/0000/checkpoint.pt", "mine")
    made = checkpoint.read_bytes()
    away = moved.rename(grouped.path("../away.pth"))
    assert not repro(grouped)
    for words in (
        ["python", "-m", "pipeline", "rerun", "init", "--run", "mine"],
        ["dvc", "repro", "--force", "--single-item", f"{PLAN}:init"],
    ):
        refused = grouped.command(*words)
        assert refused.returncode != 0 and "moved.pth is missing" in refused.stderr, refused.stderr
        assert checkpoint.read_bytes() == made, "it cannot be made again"
    away.rename(moved)
    assert grouped.pipeline("rerun", "init", "--run", "mine").returncode == 0
    assert checkpoint.read_bytes() == made
    assert stale(grouped) == set()


def test_the_lines_of_the_readme_give_the_runs_features_without_this_project(finished_copy, tmp_path):
    params = load_run_params(finished_copy.root / RUN)
    state = load(finished_copy.root / RUN / "epochs/0002/checkpoint.pt")["network"]
    write_backbone(
        finished_copy.root / RUN / "model.safetensors", params.model, state, Training("elsewhere", 3, "kmeans", None)
    )
    text = README.read_text(encoding="utf-8").split("## Use the features elsewhere")[1]
    lines = text.split("```python\n")[1].split("```")[0].replace('"data/runs/demo/', f'"{finished_copy.root / RUN}/')
    packed = open_run("demo", finished_copy.root).packed()
    crops = np.stack([packed.centre_crop(i, params.model.input) for i in range(5)])
    np.save(tmp_path / "crops.npy", crops.transpose(0, 3, 1, 2))
    code = (
        f"{lines}\nimport sys, numpy as np\n"
        "np.save('features.npy', features(torch.from_numpy(np.load('crops.npy'))).numpy())\n"
        "assert not {'stages', 'pipeline'} & set(sys.modules)\n"
    )
    ended = finished_copy.command(sys.executable, "-I", "-c", code, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = np.load(tmp_path / "features.npy")
    expected = zarr.open_array(finished_copy.root / RUN / "final/features.zarr", mode="r")[:5]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
