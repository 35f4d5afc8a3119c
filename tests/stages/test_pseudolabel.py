"""stages/pseudolabel.py run alone on a finished run: dense labels, their weights, and permuted ones."""

import numpy as np
import pandas as pd
from stage_helpers import change, epoch, run_one

from stages import pseudolabel as pseudolabel_module


def put_clusters(project, clusters):
    frame = pd.DataFrame({"image": np.arange(len(clusters)), "cluster": np.int32(clusters), "distance": 0.0})
    frame.to_parquet(epoch(project, "assignments.parquet"))


def test_pseudo_labels_are_dense(finished_copy):
    put_clusters(finished_copy, [7] * 100 + [2] * 60 + [9] * 10)
    run_one(finished_copy, "pseudolabel")
    table = pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet"))
    assert table["label"].tolist() == [1] * 100 + [0] * 60 + [2] * 10
    assert list(table.columns) == ["image", "label"]


def test_pseudo_labels_are_the_same_in_any_number_of_blocks(finished_copy, monkeypatch):
    plain = pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet"))
    monkeypatch.setattr(pseudolabel_module, "BLOCK", 33)
    run_one(finished_copy, "pseudolabel")
    pd.testing.assert_frame_equal(pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet")), plain)


def test_permuted_labels_keep_their_counts_and_nothing_else(finished_copy):
    project = finished_copy
    plain = pd.read_parquet(epoch(project, "pseudolabels.parquet"))["label"]
    change(project, {"pseudolabel": {"permuted": True}})
    run_one(project, "pseudolabel")
    permuted = pd.read_parquet(epoch(project, "pseudolabels.parquet"))["label"]
    assert permuted.value_counts().to_dict() == plain.value_counts().to_dict()
    assert (permuted == plain).mean() < 0.5
