"""pipeline/weights.py: a run's network as torchvision has it."""

from __future__ import annotations

import shutil

import pytest
import torch
import torchvision
from foreign_helpers import torchvision_features
from network_helpers import pictures
from pipeline_helpers import unlink
from projects import Project, small_project
from safetensors.torch import load_file
from stage_helpers import folder_of_pictures

from pipeline import open_run


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """A run of no epochs with torchvision's resnet18, as wide as that."""
    folder = tmp_path_factory.mktemp("residual")
    project = small_project(folder / "project", plan=False)
    photos = folder_of_pictures(folder / "photos", 24)
    sets = ["model.architecture=resnet18", "model.sobel=false", "model.width=1.0", "model.input=32", "whiten.dim=8"]
    sets += ["train.input=null", "final.extract.input=null"]
    project.run("mine", images=photos, epochs=0, sets=sets)
    return project


@pytest.mark.parametrize("name", ["out.pth", "out.safetensors"])
def test_torchvisions_network_gives_the_features_of_the_run(cli, residual, tmp_path, name):
    out = tmp_path / name
    ended = cli(residual.root, "weights", "--run", "mine", "--torchvision", out)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("weights of torchvision's resnet18 without a top layer") and f": {out}\n" in ended.out
    state = load_file(out) if name.endswith("safetensors") else torch.load(out, weights_only=True)
    network = torchvision.models.resnet18()
    assert network.load_state_dict(state, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    batch = pictures(4, 32)
    with torch.inference_mode():
        expected = open_run("mine", residual.root).model().features(batch)
    found = torchvision_features(network.eval(), batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_the_weights_of_an_unfinished_run_are_not_told_to_be_final(cli, residual, tmp_path):
    shutil.copytree(residual.root, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    project.run("mine", epochs=1)
    unlink(project.run_path("final", "mine"))
    words = ("weights", "--run", "mine", "--torchvision", tmp_path / "out.pth")
    line = cli.refused(project.root, *words, "--epoch", "final")
    assert line == "run mine is not finished: --epoch 1 gives the weights of its last whole one"
    assert cli(project.root, *words, "--epoch", "1").status == 0


def test_what_torchvision_lacks_is_refused(cli, finished, tmp_path):
    line = cli.refused(finished.root, "weights", "--torchvision", tmp_path / "out.pth")
    assert "torchvision has no such network: alexnet of Sobel filters" in line
    line = cli.refused(finished.root, "weights", "--torchvision", tmp_path / "out.bin")
    assert "must be .pth, .pt or .safetensors" in line
    assert not list(tmp_path.iterdir())
