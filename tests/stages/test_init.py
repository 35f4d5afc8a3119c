"""stages/init.py: the first network is drawn from (seed, stage), or that of a file, which is checked as it is read."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_helpers import node_of
from stage_helpers import RUN, change, epoch, refused, run_one

from pipeline.recording.recorder import Recorder
from stages.artifacts.checkpoints import build
from stages.artifacts.run_params import load_run_params
from stages.artifacts.weights import Training, write_backbone
from stages.method.networks import initialise
from stages.parameters.model import ModelParams

WHERE = "epochs/0000"


def made(project: Any) -> dict[str, torch.Tensor]:
    content = torch.load(epoch(project, "checkpoint.pt", WHERE), weights_only=True)
    assert content["optimizer"] == {}
    return content["network"]


def model_of(project: Any) -> ModelParams:
    return load_run_params(project.root / RUN).model


def test_random_weights_follow_the_seed_and_the_stage_alone(finished):
    expected = build(model_of(finished))
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, zlib.crc32(b"init"))))
    initialise(expected, torch.Generator().manual_seed(int(rng.integers(2**63))))
    found = made(finished)
    assert found.keys() == expected.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())


@pytest.fixture
def given(finished_copy) -> Path:
    """A file of weights, which the finished project's demo is told to begin with; it lies inside the project."""
    model = model_of(finished_copy)
    network = build(model)
    initialise(network, torch.Generator().manual_seed(17))
    path = finished_copy.path("data/weights/mine.safetensors")
    path.parent.mkdir()
    write_backbone(path, model, network.state_dict(), Training("elsewhere", 3, "kmeans", None))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change(finished_copy, {"init": {"weights": "data/weights/mine.safetensors", "sha256": digest}})
    return path


def test_given_weights_are_those_of_the_file(finished_copy, given):
    before = made(finished_copy)
    run_one(finished_copy, "init", "")
    network = build(model_of(finished_copy))
    initialise(network, torch.Generator().manual_seed(17))
    found = made(finished_copy)
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    assert not torch.equal(found["convolutions.0.weight"], before["convolutions.0.weight"])


def test_a_file_that_lies_elsewhere_gives_the_same_bytes(finished_copy, given, tmp_path):
    run_one(finished_copy, "init", "")
    first = epoch(finished_copy, "checkpoint.pt", WHERE).read_bytes()
    given.rename(tmp_path / "elsewhere")
    change(finished_copy, {"init": {"weights": str(tmp_path / "elsewhere")}})
    run_one(finished_copy, "init", "")
    assert epoch(finished_copy, "checkpoint.pt", WHERE).read_bytes() == first


def test_a_file_that_is_missing_or_another_is_refused_and_what_was_made_of_it_stays(finished_copy, given):
    params = load_run_params(finished_copy.root / RUN)
    recorder = Recorder(finished_copy.root)
    recorder.clear(node_of(params, "demo:init"), planned=False)
    recorder.close()
    assert epoch(finished_copy, "checkpoint.pt", WHERE).exists()
    content = given.read_bytes()
    given.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{given} is not the file of init.sha256" in refused(lambda: run_one(finished_copy, "init", ""))
    given.unlink()
    assert f"{given} is missing" in refused(lambda: run_one(finished_copy, "init", ""))


def test_weights_of_another_network_are_refused_with_what_to_set(finished_copy, given):
    change(finished_copy, {"model": {"width": 0.125}, "whiten": {"dim": 16}})
    line = refused(lambda: run_one(finished_copy, "init", ""))
    assert line.startswith(f"{given} holds alexnet of Sobel filters, input 64, width 0.0625, and the run has")
    assert line.endswith(": --set model.width=0.0625")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"weights": "a.pth"}, "init.sha256: null, and init.weights names a file"),
        ({"sha256": "0" * 64}, "init.weights: null, and init.sha256 is of a file"),
        ({"weights": "a.pth", "sha256": "0"}, "init.sha256: string should match"),
        ({"weight": "a.pth"}, "init.weight: no such key; did you mean init.weights?"),
    ],
)
def test_half_of_the_section_is_refused(finished_copy, section, expected):
    assert expected in refused(lambda: change(finished_copy, {"init": section}))
