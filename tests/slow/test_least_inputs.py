"""Each network at its least input through one whole epoch, with fixed filters and with colours."""

import json

import numpy as np
import pytest
import torch
from projects import Project
from slow_helpers import copied, pipeline_status

from pipeline import open_run
from stages.errors import Refusal

pytestmark = pytest.mark.slow

# Least input, and the number of features at a sixteenth of the width: 4096, 512 and 2048 at the whole.
NETWORKS = {"alexnet": (63, 256), "vgg16": (32, 256), "resnet18": (32, 32), "resnet50": (32, 128)}


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Project:
    return copied(finished, tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("sobel", [True, False])
@pytest.mark.parametrize("architecture", NETWORKS)
def test_one_epoch_at_the_least_input(architecture, sobel, project):
    least, dim = NETWORKS[architecture]
    name = f"{architecture}-{'sobel' if sobel else 'rgb'}"
    model = {"architecture": architecture, "sobel": sobel, "input": least}
    project.edit({"runs": {name: {"epochs": 1, "model": model}}})
    project.run(name)
    run = open_run(name, project.root)
    features = run.features(1).read()
    assert features.shape == (170, dim)
    assert np.isfinite(features).all() and features.std(0).max() > 0
    history = run.history()
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history.loc[0, ["loss", "accuracy", "nmi_labels"]].astype(float)).all()
    state = torch.load(run.folder / "epochs/0001/checkpoint.pt", weights_only=True)["network"]
    before = torch.load(run.folder / "epochs/0000/checkpoint.pt", weights_only=True)["network"]
    first = next(name for name, value in state.items() if name.startswith("convolutions") and value.ndim == 4)
    assert state[first].shape[1] == (2 if sobel else 3)
    assert not torch.equal(state[first], before[first])
    assert json.loads((run.folder / "final/clustering.json").read_text())["used"] == 10
    assert pipeline_status(project, name) == {}


@pytest.mark.parametrize("architecture", NETWORKS)
def test_one_pixel_less_is_refused_before_any_file_is_made(architecture, project):
    least, _ = NETWORKS[architecture]
    name = f"small-{architecture}"
    project.edit({"runs": {name: {"epochs": 1, "model": {"architecture": architecture, "input": least - 1}}}})
    with pytest.raises(Refusal, match=rf"model\.input: {architecture} needs pictures of at least {least} pixels"):
        project.run(name)
    assert not project.run_path("", name).exists()
