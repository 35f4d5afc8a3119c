"""stages/linear_probe.py, mlp.py and knn.py: numbers from the tables, and neighbours found without the pipeline."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_helpers import PER_CLASS, TEST_PICTURES, edited, evaluate_again, folder, result, table
from pytest import approx
from stage_helpers import files, refused
from torch.nn.functional import normalize

from pipeline import open_run
from stages.artifacts.pictures import PackedImages
from stages.linear_probe import _rates
from stages.parameters.protocols.linear_probe import LinearProbeParams
from stages.protocols.linear_probe import RELEASED_RATES, ZHANG_RATES, Rates

CLASSES = 10


def manifest(project, name):
    return pd.read_parquet(project.path(f"data/images/{name}/manifest.parquet"))


@pytest.mark.parametrize(("name", "layers"), [("linear", ["conv1", "conv5"]), ("mlp", ["pool"])])
def test_the_numbers_follow_from_the_predictions(evaluated, name, layers):
    found, rows, curve = result(evaluated, name), table(evaluated, name), table(evaluated, name, "curve")
    assert list(rows) == ["image", "label", *(column for layer in layers for column in (layer, f"{layer}_rank"))]
    assert rows["image"].tolist() == list(range(TEST_PICTURES))
    assert (rows["label"] == manifest(evaluated, "demo-test")["label"]).all()
    assert list(zip(curve["epoch"], curve["layer"], strict=True)) == [(n, layer) for n in (1, 2) for layer in layers]
    for layer in layers:
        right = rows[layer] == rows["label"]
        assert (right == (rows[f"{layer}_rank"] == 0)).all()
        last = curve[curve["layer"] == layer].iloc[-1]
        assert (last["top1"], last["top5"]) == (right.mean(), (rows[f"{layer}_rank"] < 5).mean())
        shares = {"top1": right.mean(), "top5": last["top5"]}
        shares["best_top1"] = curve[curve["layer"] == layer]["top1"].max()
        for number, share in shares.items():
            told = found["numbers"][number]
            assert (told[layer] if name == "linear" else told) == approx(100 * share, abs=1e-4)
    assert found["measured_on"] == {
        "train_images": PER_CLASS * CLASSES,
        "test_images": TEST_PICTURES,
        "classes": CLASSES,
    }
    assert np.isfinite(curve[["loss", "accuracy"]]).all(axis=None)


def test_epochs_that_are_not_tested_have_no_numbers_and_change_none(evaluated_copy):
    before = files(folder(evaluated_copy, "linear"))["predictions.parquet"]
    edited(evaluated_copy, "linear", test_every=2)
    evaluate_again(evaluated_copy, "linear")
    curve = table(evaluated_copy, "linear", "curve")
    assert curve.loc[curve["epoch"] == 1, ["top1", "top5"]].isna().all(axis=None)
    assert curve.loc[curve["epoch"] == 2, ["top1", "top5"]].notna().all(axis=None)
    assert files(folder(evaluated_copy, "linear"))["predictions.parquet"] == before


def test_a_layer_is_probed_as_it_would_be_alone(evaluated_copy):
    """All classifiers share the forward passes, and nothing else."""
    both = table(evaluated_copy, "linear")[["conv5", "conv5_rank"]]
    edited(evaluated_copy, "linear", layers=["conv5"])
    evaluate_again(evaluated_copy, "linear")
    assert table(evaluated_copy, "linear")[["conv5", "conv5_rank"]].equals(both)


def test_zhangs_classifier_and_schedule_are_another(evaluated_copy):
    before = files(folder(evaluated_copy, "linear"))["curve.parquet"]
    edited(evaluated_copy, "linear", follow="zhang")
    evaluate_again(evaluated_copy, "linear")
    assert files(folder(evaluated_copy, "linear"))["curve.parquet"] != before
    assert result(evaluated_copy, "linear")["follows"]["classifier"] == "zhang"


def features(project, name):
    """(N, d) float64 features of the centre crops, by the network as a user gets it."""
    network = open_run("demo", project.root).model()
    images = PackedImages(project.path(f"data/images/{name}"))
    pictures = torch.from_numpy(np.stack([images.centre_crop(i, 64) for i in range(len(images))]))
    with torch.inference_mode():
        return network.features(pictures.permute(0, 3, 1, 2)).double()


def test_neighbours_are_those_of_the_features_of_the_last_layer(evaluated_copy):
    edited(evaluated_copy, "knn", per_class=None)
    evaluate_again(evaluated_copy, "knn")
    train, test = (normalize(features(evaluated_copy, name)) for name in ("demo", "demo-test"))
    labels = torch.tensor(manifest(evaluated_copy, "demo")["label"])
    cosines = test @ train.T
    truth = manifest(evaluated_copy, "demo-test")["label"].to_numpy()
    rows, numbers = table(evaluated_copy, "knn"), result(evaluated_copy, "knn")["numbers"]
    for k in (1, 5):
        near = cosines.topk(k)
        votes = torch.zeros(len(test), CLASSES, dtype=torch.float64)
        votes.scatter_add_(1, labels[near.indices], (near.values / 0.07).exp())
        expected = votes.argmax(1).numpy()
        assert (rows[f"k{k}"] == expected).all()
        assert numbers["top1"][str(k)] == approx(100 * (expected == truth).mean(), abs=1e-4)
        # Five neighbours are of five classes at most: the right one is among them, or has no vote.
        voted = votes[torch.arange(len(test)), torch.tensor(truth)] > 0
        assert numbers["top5"][str(k)] == approx(100 * voted.double().mean().item(), abs=1e-4)


def test_labelled_pictures_are_drawn_from_the_seed_and_each_class_has_as_many(evaluated_copy, monkeypatch):
    from stages.runtime import evaluating as module

    drawn = []
    function = module.labelled_subset
    monkeypatch.setattr(module, "labelled_subset", lambda *args: drawn.append(function(*args)) or drawn[-1])
    evaluate_again(evaluated_copy, "linear")
    labels = manifest(evaluated_copy, "demo")["label"].to_numpy()
    assert np.bincount(labels[drawn[0]]).tolist() == [PER_CLASS] * CLASSES
    assert len(np.unique(drawn[0])) == PER_CLASS * CLASSES
    own = evaluated_copy.run_path("params.yaml")
    own.write_text(own.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    evaluate_again(evaluated_copy, "linear")
    assert set(drawn[1]) != set(drawn[0])


@pytest.mark.parametrize("name", ["linear", "mlp", "knn"])
def test_more_labelled_pictures_than_a_class_has_are_refused(evaluated_copy, name):
    edited(evaluated_copy, name, per_class=18)
    line = refused(lambda: evaluate_again(evaluated_copy, name))
    assert "per_class" in line and "18" in line and "17" in line


def test_a_layer_that_the_network_lacks_is_refused_with_those_that_it_has(evaluated_copy):
    edited(evaluated_copy, "linear", layers=["conv1", "conv6"])
    line = refused(lambda: evaluate_again(evaluated_copy, "linear"))
    assert "conv6" in line and "conv5" in line
    edited(evaluated_copy, "mlp", layer="conv9")
    assert "conv9" in refused(lambda: evaluate_again(evaluated_copy, "mlp"))


def test_what_is_given_of_a_layers_rates_changes_that_alone():
    entry = {"name": "a", "protocol": "linear_probe", "train": "b", "test": "c", "layers": ["conv3", "conv4"]}
    found = _rates(LinearProbeParams(**entry, follow="zhang", rates={"conv4": {"lr": 0.005}}))
    assert found["conv3"] == ZHANG_RATES
    assert found["conv4"] == replace(ZHANG_RATES, lr=0.005)
    found = _rates(LinearProbeParams(**entry, rates={"conv3": {"weight_decay": 0.5}}))
    assert found == {"conv3": replace(RELEASED_RATES["conv3"], weight_decay=0.5), "conv4": Rates()}
