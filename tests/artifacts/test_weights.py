"""stages/artifacts/weights.py: files of weights as people have them, read whole or refused in a line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_helpers import checkpoint_of, legacy, of_torchvision, released, released_features
from network_helpers import pictures, small
from safetensors import safe_open
from safetensors.torch import save_file
from stage_helpers import refused

from stages.artifacts.checkpoints import build
from stages.artifacts.weights import Training, load_backbone, read_weights, refuse_other_model, write_backbone
from stages.parameters.model import ModelParams

ALEXNET = ModelParams(architecture="alexnet", sobel=True, input=224, width=1.0)
RESNET18 = ModelParams(architecture="resnet18", sobel=False, input=224, width=1.0)
NARROW = ModelParams(architecture="alexnet", sobel=True, input=63, width=1 / 16)
TRAINING = Training("mine", 8, "kmeans", None)


@pytest.fixture(scope="module")
def resnet() -> dict[str, Any]:
    return of_torchvision("resnet18").state_dict()


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """A model.safetensors of ours."""
    write_backbone(tmp_path / "model.safetensors", NARROW, small("alexnet").state_dict(), TRAINING)
    return tmp_path / "model.safetensors"


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_the_authors_file_of_python_2_gives_their_features(tmp_path):
    """A legacy pickle whose texts are bytes, without counters, of a network whose convolutions were parallel."""
    network, batch = released("alexnet", sobel=True), pictures(2, 224)
    expected = released_features(network, batch)
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(legacy(checkpoint_of(state, "alexnet")))
    assert b"PK" not in path.read_bytes()[:2] and b"U\x0astate_dict" in path.read_bytes()
    found = read_weights(path)
    assert found.model == ALEXNET
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    ours = build(found.model).eval()
    ours.load_state_dict(found.state)
    with torch.inference_mode():
        torch.testing.assert_close(ours.features(batch), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("form", ["a state dict", "under state_dict", "legacy", "safetensors"])
def test_a_state_dict_of_torchvision_is_read_in_each_form(tmp_path, resnet, form):
    path = tmp_path / "resnet18"
    if form == "legacy":
        torch.save(resnet, path, _use_new_zipfile_serialization=False)
    elif form == "safetensors":
        save_file(resnet, path, metadata={"format": "pt"})
    else:
        saved(path, {"epoch": 1, "state_dict": resnet} if form == "under state_dict" else resnet)
    found = read_weights(path)
    assert found.model == RESNET18
    assert torch.equal(found.state["convolutions.0.weight"], resnet["conv1.weight"])


def test_a_file_that_is_not_the_recorded_one_is_refused(narrow):
    content = narrow.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert read_weights(narrow, digest).sha256 == digest
    narrow.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    line = refused_of(narrow, digest)
    assert "is not the file of init.sha256 any more" in line and "restore it, or begin another run" in line


def refused_of(path: Path, sha256: str | None = None) -> str:
    line = refused(lambda: read_weights(path, sha256))
    assert str(path) in line
    return line


BAD = {
    "no file": (None, "is missing: name the file, or where it is now"),
    "text": (b"weights", "cannot be read as weights"),
    "empty": (b"", "cannot be read as weights"),
    "cut safetensors": (b"\x40\0\0\0\0\0\0\0{", "cannot be read as safetensors"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_file_of_weights_is_refused(tmp_path, case):
    content, expected = BAD[case]
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    assert expected in refused_of(path)


class Code:
    """What a file must not hold."""


CONTENTS = {
    "an object": ({"state_dict": {}, "args": Code()}, "save the state_dict alone"),
    "a list": ([1, 2], "it holds no state_dict"),
    "nothing": ({}, "it holds no state_dict"),
    "other things": ({"epoch": 3}, "it holds no state_dict"),
    "an epoch's checkpoint": ({"network": {}, "optimizer": {}}, "give the model.safetensors of its run"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_what_holds_no_state_dict_is_refused(tmp_path, case):
    content, expected = CONTENTS[case]
    assert expected in refused_of(saved(tmp_path / "weights.pth", content))


def test_half_a_file_and_a_folder_are_refused(tmp_path, resnet):
    path = saved(tmp_path / "weights.pth", resnet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be read as weights" in refused_of(path)
    assert "is a folder" in refused_of(tmp_path)


def test_what_the_run_must_be_set_to_is_named(tmp_path):
    run = ModelParams(architecture="alexnet", sobel=True, input=64, width=0.25)
    line = refused(lambda: refuse_other_model(tmp_path, RESNET18, run))
    assert line.endswith("--set model.architecture=resnet18 --set model.sobel=false --set model.width=1.0")
    # The mean over the last pixels takes any input; hidden layers take the one that they were trained with.
    refuse_other_model(tmp_path, RESNET18, RESNET18.model_copy(update={"input": 64}))
    line = refused(lambda: refuse_other_model(tmp_path, ALEXNET, ALEXNET.model_copy(update={"input": 112})))
    assert line.endswith(": --set model.input=224")


def test_ours_says_what_it_is_and_equal_weights_give_equal_bytes(narrow, tmp_path):
    with safe_open(narrow, "pt") as file:
        about = json.loads(file.metadata()["deepcluster"])
    assert about.pop("mean") == [0.485, 0.456, 0.406] and about.pop("std") == [0.229, 0.224, 0.225]
    assert "before its ReLU" in about.pop("features")
    assert about.pop("training") == {"data": "mine", "epochs": 8, "method": "kmeans", "start": None}
    assert about == {"architecture": "alexnet", "sobel": True, "input": 63, "width": 1 / 16}
    write_backbone(tmp_path / "again", NARROW, small("alexnet").state_dict(), TRAINING)
    assert (tmp_path / "again").read_bytes() == narrow.read_bytes()


def test_ours_is_read_to_begin_with_and_to_evaluate(narrow):
    network = small("alexnet").eval()
    found = read_weights(narrow)
    trained = load_backbone(narrow)
    loaded = trained.network
    assert found.model == trained.model == NARROW
    assert not loaded.training
    assert trained.training == TRAINING
    assert trained.sha256 == found.sha256
    batch = pictures(3, 63)
    with torch.inference_mode():
        assert torch.equal(loaded.features(batch), network.features(batch))
    assert all(torch.equal(found.state[name], value) for name, value in network.state_dict().items())


def test_ours_without_mean_and_deviation_is_read_too(tmp_path):
    state = small("resnet18", sobel=False, width=1.0).state_dict()
    about = {"architecture": "resnet18", "input": 64, "sobel": False, "width": 1.0}
    save_file(state, tmp_path / "old", metadata={"deepcluster": json.dumps(about)})
    assert read_weights(tmp_path / "old").model.input == 64
    # A table says how a network was trained, so one that does not say it is not evaluated.
    assert "does not say how its network was trained" in refused(lambda: load_backbone(tmp_path / "old"))


def test_ours_is_refused_where_it_is_not_what_it_says(tmp_path, narrow, resnet):
    save_file(resnet, tmp_path / "theirs", metadata={"format": "pt"})
    assert "do not say what network" in refused(lambda: load_backbone(tmp_path / "theirs"))
    state = small("alexnet").state_dict()
    wide = NARROW.model_copy(update={"width": 0.5})
    write_backbone(tmp_path / "other", wide, state, TRAINING)
    for read in (load_backbone, read_weights):
        assert "convolutions.0.weight has shape" in refused(lambda read=read: read(tmp_path / "other"))
    save_file(state, tmp_path / "odd", metadata={"deepcluster": json.dumps({"architecture": "lenet"})})
    assert "name no network that is known" in refused(lambda: load_backbone(tmp_path / "odd"))
    assert "is missing" in refused(lambda: load_backbone(tmp_path / "data/runs/mine/model.safetensors"))
