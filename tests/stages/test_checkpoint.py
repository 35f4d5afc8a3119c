"""stages/checkpoint.py run alone on a finished run: links, metrics, and networks that cannot be used."""

import json
import os

import pandas as pd
import pytest
import torch
from stage_helpers import EPOCH, N, epoch, refused, run_one, with_network


def test_the_checkpoint_is_a_hard_link_to_what_was_trained(finished):
    assert os.path.samefile(epoch(finished, "checkpoint.pt"), epoch(finished, "trained/checkpoint.pt"))


def test_where_links_are_refused_the_checkpoint_is_a_copy(finished_copy, monkeypatch):
    before = epoch(finished_copy, "checkpoint.pt").read_bytes()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    run_one(finished_copy, "checkpoint")
    assert epoch(finished_copy, "checkpoint.pt").read_bytes() == before
    assert not os.path.samefile(epoch(finished_copy, "checkpoint.pt"), epoch(finished_copy, "trained/checkpoint.pt"))


def test_metrics_are_those_of_the_steps_and_of_the_clustering(finished):
    steps = pd.read_parquet(epoch(finished, "trained/steps.parquet"))
    metrics = json.loads(epoch(finished, "metrics.json").read_text())
    clustering = json.loads(epoch(finished, "clustering.json").read_text())
    assert metrics["loss"] == pytest.approx((steps["loss"] * steps["images"]).sum() / N)
    assert metrics["accuracy"] == pytest.approx(steps["correct"].sum() / N)
    assert metrics["images_trained"] == N
    assert metrics["nmi_labels"] == clustering["nmi_labels"]
    assert metrics["objective"] == clustering["objective"][-1]


def nan_in_the_statistics(content):
    name = next(name for name in content["network"] if name.endswith("running_mean"))
    content["network"][name][0] = float("nan")


def nan_in_the_momentum(content):
    content["optimizer"]["state"][0]["momentum_buffer"].view(-1)[0] = float("inf")


def nan_in_the_top_layer(content):
    content["top"] = {"weight": torch.tensor([[float("nan")]])}


def another_shape(content):
    name = next(iter(content["network"]))
    content["network"][name] = content["network"][name][:1]


def missing_weight(content):
    del content["network"][next(reversed(content["network"]))]


@pytest.mark.parametrize(
    "alter", [nan_in_the_statistics, nan_in_the_momentum, nan_in_the_top_layer, another_shape, missing_weight]
)
def test_a_network_that_cannot_be_used_is_no_checkpoint(finished_copy, alter):
    with_network(finished_copy, alter, f"{EPOCH}/trained")
    line = refused(lambda: run_one(finished_copy, "checkpoint"))
    assert str(epoch(finished_copy, "trained/checkpoint.pt")) in line
    assert "rerun train" in line
    assert not epoch(finished_copy, "checkpoint.pt").exists()
    assert not epoch(finished_copy, "metrics.json").exists()


class Planted:
    def __reduce__(self):
        return (os.mkdir, ("planted",))


def test_a_checkpoint_cannot_run_code(finished_copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = epoch(finished_copy, "trained/checkpoint.pt")
    path.unlink()
    torch.save({"network": Planted(), "optimizer": {}}, path)
    assert str(path) in refused(lambda: run_one(finished_copy, "checkpoint"))
    assert not (tmp_path / "planted").exists()
