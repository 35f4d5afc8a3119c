"""stages/ of section 4, each: what is written, the same bytes again, and after a stop between two steps."""

import json

import numpy as np
import pytest
from evaluation_helpers import ENTRIES, edited, evaluate_again, folder, result, table
from stage_helpers import Stopping, files, refused

from stages.artifacts.publishing import failure
from stages.artifacts.weights import load_backbone
from stages.parameters.keys import flat
from stages.runtime import fine_tuning, save_points

TRAINED = {
    "linear": "goes on at epoch 2 of 2",
    "mlp": "goes on at epoch 2 of 2",
    "classification": "goes on at iteration 2 of 4",
    "caffe": "goes on at iteration 1 of 2",
    "detection": "goes on at iteration 2 of 4",
    "segmentation": "goes on at iteration 2 of 4",
}
"""What is told by those that train, when they go on."""

WRITTEN = {"curve.parquet", "predictions.parquet", "numbers.json", "result.json"}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_result_tells_the_entry_the_network_and_the_numbers_that_dvc_shows(evaluated, name):
    found = result(evaluated, name)
    assert set(files(folder(evaluated, name))) - {"dvc.yaml", "dvc.lock"} == WRITTEN - (
        {"curve.parquet"} if name == "knn" else set()
    )
    assert (found["run"], found["evaluation"]) == ("demo", name)
    assert found["settings"].items() >= ENTRIES[name].items()
    trained = load_backbone(evaluated.run_path("model.safetensors"))
    assert found["network"]["sha256"] == trained.sha256
    assert (found["network"]["data"], found["network"]["epochs"]) == ("demo", 2)
    numbers = json.loads((folder(evaluated, name) / "numbers.json").read_text())
    assert numbers == found["numbers"]
    assert all(0 <= value <= 100 for value in flat(numbers).values())
    assert all(isinstance(text, str) and text for text in found["follows"].values())


@pytest.mark.parametrize("name", ENTRIES)
def test_the_baseline_is_measured_in_the_same_way_and_is_another_network(evaluated, name):
    ours = result(evaluated, name)
    theirs = json.loads((folder(evaluated, name, "demo-random") / "result.json").read_text())
    assert (theirs["network"]["data"], theirs["network"]["epochs"]) == (None, 0)
    assert theirs["network"]["sha256"] != ours["network"]["sha256"]
    assert theirs["settings"] == ours["settings"] and theirs["measured_on"] == ours["measured_on"]
    file = "predictions.parquet" if name in ("knn", "oxford") else "curve.parquet"
    assert files(folder(evaluated, name, "demo-random"))[file] != files(folder(evaluated, name))[file]


def test_what_is_told_of_a_run_stands_in_its_own_log(evaluated):
    logs = {run: evaluated.run_path("log.txt", run).read_text() for run in ("demo", "demo-random")}
    assert "run demo: to labels" not in logs["demo-random"]
    for run, log in logs.items():
        assert f"run {run}: " in log.splitlines()[-1]


@pytest.mark.parametrize("workers", [0, 4])
def test_the_number_of_workers_changes_no_byte(evaluated_copy, workers):
    for name in ENTRIES:
        before = files(folder(evaluated_copy, name))
        evaluate_again(evaluated_copy, name, workers=workers)
        assert files(folder(evaluated_copy, name)) == before, name


def test_what_stops_between_two_steps_goes_on_and_gives_the_same_bytes(evaluated_copy, monkeypatch):
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(fine_tuning, "CHECK_EVERY", 1)
    offer = save_points.SavePoints.offer
    for name, told in TRAINED.items():
        before = files(folder(evaluated_copy, name))
        left = 1 if "epoch 2" in told or "iteration 1" in told else 2

        def stopping(points, state):
            nonlocal left
            offer(points, state)
            left -= 1
            if not left:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(save_points.SavePoints, "offer", stopping)
            with pytest.raises(KeyboardInterrupt):
                evaluate_again(evaluated_copy, name)
        assert not WRITTEN & set(files(folder(evaluated_copy, name)))
        assert told in evaluate_again(evaluated_copy, name), name
        assert files(folder(evaluated_copy, name)) == before, name


def test_what_stops_while_testing_trains_nothing_again(evaluated_copy, monkeypatch):
    """The last save point is that of the last step."""
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    for name in ("classification", "detection", "segmentation"):
        before = files(folder(evaluated_copy, name))
        stopped = Stopping()
        steps = ENTRIES[name]["iterations"]

        def progress(items, what, total, count, stopped=stopped, steps=steps):
            stopped.totals.append(total)
            for item in items:
                if len(stopped.totals) > 1:
                    raise KeyboardInterrupt
                yield item

        stopped.progress = progress
        with pytest.raises(KeyboardInterrupt):
            evaluate_again(evaluated_copy, name, report=stopped)
        assert stopped.totals[0] == steps
        report = Stopping()
        assert f"goes on at iteration {steps} of {steps}" in evaluate_again(evaluated_copy, name, report=report)
        assert report.totals[0] == 0
        assert files(folder(evaluated_copy, name)) == before, name


def test_another_step_size_does_not_go_on_from_a_save_point(evaluated_copy, monkeypatch):
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(fine_tuning, "CHECK_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        evaluate_again(evaluated_copy, "segmentation", report=Stopping(2))
    edited(evaluated_copy, "segmentation", lr=0.001)
    assert "goes on" not in evaluate_again(evaluated_copy, "segmentation")


RATES = {
    "linear": {"rates": {"conv5": {"lr": 1e30}}},
    "mlp": {"lr": 1e30},
    "classification": {"lr": 1e30},
    "detection": {"lr": 1e30},
    "segmentation": {"lr": 1e30},
}


@pytest.mark.parametrize("name", RATES)
def test_a_loss_that_is_not_finite_is_one_line_and_publishes_nothing(evaluated_copy, name, monkeypatch):
    monkeypatch.setattr(fine_tuning, "CHECK_EVERY", 1)
    steps = {"epochs": 4} if "epochs" in ENTRIES[name] else {"iterations": 8}
    edited(evaluated_copy, name, **RATES[name], **steps)
    line = refused(lambda: evaluate_again(evaluated_copy, name))
    assert ("loss" in line and ("nan" in line or "inf" in line)) or "scores of the evaluation are not finite" in line
    assert "lower" in line
    assert not WRITTEN & set(files(folder(evaluated_copy, name)))
    assert failure(folder(evaluated_copy, name), ENTRIES[name]["protocol"]) == line


@pytest.mark.parametrize("name", ["classification", "caffe", "detection", "segmentation"])
def test_the_curve_has_a_row_a_step(evaluated, name):
    curve = table(evaluated, name, "curve")
    assert curve["iteration"].tolist() == list(range(ENTRIES[name]["iterations"]))
    assert np.isfinite(curve["loss"]).all() and curve["loss"].nunique() > 1
    assert result(evaluated, name)["measured_on"]["iterations"] == len(curve)
