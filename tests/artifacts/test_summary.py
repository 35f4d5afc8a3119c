"""stages/artifacts/measures.py: what a summary says of runs that begin or end otherwise."""

import math

import pytest

from stages.artifacts.measures import CLUSTERING, TRAINING, epoch_row, history_table, summary

CLUSTERED = dict.fromkeys(CLUSTERING) | {"objective": [2.0, 1.0], "nmi_labels": 0.4, "ami_labels": 0.3, "purity": 0.6}
BASELINE = {"clusters": 5, "nmi_labels": 0.2, "ami_labels": 0.1, "purity": 0.3, "knn_accuracy": 0.25}


def rows(first, last):
    trained = [
        epoch_row(epoch, dict.fromkeys(TRAINING, 1) | {"loss": float(epoch), "labels": epoch + 4}, CLUSTERED)
        for epoch in range(first, last + 1)
    ]
    return [*trained, epoch_row(last + 1, clustering=CLUSTERED | {"ami_labels": 0.5})]


def test_a_run_of_its_own_first_epoch_has_an_untrained_network():
    found = summary(rows(1, 3), 9, BASELINE)
    assert (found["images"], found["epochs"], found["ami_labels"], found["purity"]) == (9, 3, 0.5, 0.6)
    assert (found["untrained_ami"], found["untrained_nmi"], found["untrained_knn"]) == (0.3, 0.4, None)
    assert (found["pixels_ami"], found["pixels_purity"], found["pixels_knn"]) == (0.1, 0.3, 0.25)
    assert (found["loss"], found["labels"], found["last_ami"]) == (3.0, 7, 0.3)
    assert found["loss_to_chance"] == pytest.approx(min(1 / math.log(5), 2 / math.log(6), 3 / math.log(7)))


@pytest.mark.parametrize(("first", "last"), [(5, 6), (1, 0)])
def test_a_branch_and_a_run_without_training_have_none(first, last):
    found = summary(rows(first, last), 9, BASELINE)
    assert {found[f"untrained_{name}"] for name in ("nmi", "ami", "purity", "knn")} == {None}
    assert (found["loss"] is None) == (found["loss_to_chance"] is None) == (found["labels"] is None) == (last == 0)


def test_the_table_has_k_means_on_pixels_in_every_row_or_in_none():
    table = history_table(rows(1, 2), BASELINE)
    assert table["pixels_ami"].tolist() == [0.1] * 3 and table["pixels_knn"].tolist() == [0.25] * 3
    assert table["ami_labels"].tolist() == [0.3, 0.3, 0.5]
    assert history_table(rows(1, 2))["pixels_ami"].isna().all()
    assert list(history_table([]).columns) == list(table.columns)


def test_an_epoch_without_a_clustering_has_the_labels_of_an_earlier_one():
    found = rows(1, 3)
    found[2]["labels"] = None
    found[0]["loss"] = 9.0
    told = summary(found, 9, BASELINE)
    assert told["labels"] == 6
    assert told["loss_to_chance"] == pytest.approx(2 / math.log(6))
    found[1]["labels"] = found[0]["labels"] = 1
    assert summary(found, 9, BASELINE)["loss_to_chance"] is None
