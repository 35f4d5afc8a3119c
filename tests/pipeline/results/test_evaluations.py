"""pipeline/results/evaluations.py: the numbers, curves and predictions of a run's evaluations in pandas."""

import pandas as pd
import pytest
from result_cases import knn, lay, probe, voc
from results_helpers import types

from pipeline import open_run
from stages.errors import Refusal


@pytest.fixture
def measured(finished_copy):
    """A finished run with results of three protocols, one of them with tables."""
    for content in (probe(), knn(), voc("detection", "all", 51.5)):
        lay(finished_copy.root, content)
    folder = finished_copy.run_path("evaluations/linear_probe")
    pd.DataFrame({"epoch": [1, 2], "loss": [2.5, 2.0]}).to_parquet(folder / "curve.parquet")
    pd.DataFrame({"image": [0], "label": [3]}).to_parquet(folder / "predictions.parquet")
    return open_run("demo", finished_copy.root)


def test_a_run_without_evaluations_has_an_empty_table_of_the_same_columns(run):
    table = run.evaluations()
    assert len(table) == 0
    assert list(table) == ["evaluation", "protocol", "test", "number", "value"]
    assert table["value"].dtype == "float64"


def test_every_number_has_a_row(measured):
    table = measured.evaluations()
    assert types(table)["value"] == "float64"
    assert len(table) == 15 + 4 + 1
    assert table["evaluation"].drop_duplicates().tolist() == ["detection-all", "knn", "linear_probe"]
    one = table[table["evaluation"] == "detection-all"].iloc[0]
    assert one.tolist() == ["detection-all", "detection", "scenes test", "map", 51.5]
    values = table[table["evaluation"] == "linear_probe"].set_index("number")["value"]
    assert (values["top1.conv3"], values["best_top1.conv5"]) == (42.0, 44.5)
    assert set(table[table["evaluation"] == "knn"]["test"]) == {"demo-test"}


def test_one_evaluation_gives_its_result_and_its_tables(measured):
    one = measured.evaluation("linear_probe")
    assert one.result["numbers"] == probe()["numbers"]
    assert one.numbers["top1.conv1"] == 40.0
    assert one.curve["loss"].tolist() == [2.5, 2.0] and one.predictions["label"].tolist() == [3]
    assert repr(one) == "EvaluationFiles('linear_probe' of run 'demo')"


def test_what_an_evaluation_does_not_have_is_refused(measured):
    with pytest.raises(Refusal, match=r"has no curve.parquet; tables of the protocol knn: none"):
        _ = measured.evaluation("knn").curve
    with pytest.raises(Refusal, match=r"no result of 'nothing' \(there are: detection-all, knn, linear_probe\)"):
        measured.evaluation("nothing")
