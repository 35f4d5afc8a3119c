"""stages/sources/sbd.py: SBD as it lies."""

import numpy as np
import pytest
from scipy.io import savemat
from set_helpers import entry, looked, small_sbd, write
from stage_helpers import refused

from stages.artifacts.index import EvaluationIndex, write_index
from stages.sources.sets import look_through, survey


def test_splits_and_masks_are_those_that_torchvision_reads(tmp_path):
    from torchvision.datasets import SBDataset

    folder = small_sbd(tmp_path)
    found = survey(tmp_path, entry("sbd"))
    assert found.splits == {"train": 1, "val": 1} and len(found.classes) == 20
    write_index(tmp_path, found, look_through(found))
    index = EvaluationIndex(tmp_path, folder)
    for split in ("train", "val"):
        ((_, theirs),) = SBDataset(str(folder), split, mode="segmentation")
        (row,) = index.rows(split)
        assert np.array_equal(index.mask(row), np.asarray(theirs)) and index.mask(row).max() >= 8


def test_further_lists_are_splits_and_may_stand_in_for_missing_ones(tmp_path):
    folder = small_sbd(tmp_path)
    (folder / "train.txt").unlink()
    write(tmp_path, {"noval.txt": "2008_000001\n"})
    assert survey(tmp_path, entry("sbd", lists={"train_noval": "noval.txt"})).splits == {"train_noval": 1, "val": 1}


def test_a_half_there_set_is_refused_in_one_line(tmp_path):
    folder = small_sbd(tmp_path)
    (folder / "cls/2008_000002.mat").unlink()
    (folder / "img/2008_000001.jpg").unlink()
    line = refused(lambda: looked(tmp_path, entry("sbd")))
    assert "1 of 2 pictures, first missing: img/2008_000001.jpg" in line
    assert "1 of 2 masks, first missing: cls/2008_000002.mat" in line


def test_a_folder_without_lists_is_refused(tmp_path):
    folder = small_sbd(tmp_path)
    for split in ("train", "val"):
        (folder / f"{split}.txt").unlink()
    assert "none of train.txt, val.txt, train_noval.txt" in refused(lambda: survey(tmp_path, entry("sbd")))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"GTinst": {"Segmentation": np.zeros((24, 32), np.uint8)}}, "holds no GTcls.Segmentation"),
        ({"GTcls": {"Boundaries": 1}}, "holds no GTcls.Segmentation"),
        ({"GTcls": {"Segmentation": np.zeros((24, 32))}}, "is float64 of 2 dimensions"),
        ({"GTcls": {"Segmentation": np.full((24, 32), 21, np.uint8)}}, "holds class 21"),
        ({"GTcls": {"Segmentation": np.zeros((32, 24), np.uint8)}}, "32x24 pixels"),
    ],
)
def test_other_mat_files_are_refused_by_name(tmp_path, content, told):
    folder = small_sbd(tmp_path)
    savemat(folder / "cls/2008_000002.mat", content)
    line = refused(lambda: looked(tmp_path, entry("sbd")))
    assert "cls/2008_000002.mat" in line and told in line
