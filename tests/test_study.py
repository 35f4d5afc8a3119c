"""The study's rows (benchmarks/study.py): each can be computed, and its tables hold what was measured."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from projects import ROOT

from pipeline import open_run
from pipeline.settings import Settings
from stages.errors import Refusal


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import study

    return study


def test_each_row_is_a_run_that_differs_from_the_others(study, make_project):
    root: Path = make_project(plan=False).root
    resolved = {}
    study.enter(root, [study.Row("short", variant, 3) for variant in study.VARIANTS])
    for variant in study.VARIANTS:
        params = Settings(root).resolve(study.Row("short", variant, 3).name)
        assert (params.seed, params.pictures.name, [one.name for one in params.evaluations]) == (
            3,
            "cifar10",
            [study.PROBE],
        )
        assert params.evaluations[0].params.layers == study.LAYERS
        resolved[variant] = params.model_dump_json(exclude={"run"})
    assert len(set(resolved.values())) == len(study.VARIANTS)


def test_a_run_that_is_named_already_stays_as_it_is(study, make_project):
    root: Path = make_project(plan=False).root
    row = study.Row("whole", "k 10", 0)
    settings = study.enter(root, [row])
    settings.put(f"runs.{row.name}.epochs", 3)
    settings.save()
    assert study.enter(root, [row]).resolve(row.name).epochs == 3
    assert Settings(root).resolve(row.name).epochs == 3


def test_a_difference_is_to_the_unchanged_run_of_the_same_seed(study):
    found = []
    for seed, base, other in ((0, 60.0, 55.0), (1, 64.0, 61.0)):
        for variant, probe in ((study.BASE, base), ("k 10", other)):
            found += [(variant, seed, "final", layer, probe) for layer in study.LAYERS]
            found += [(variant, seed, "final", "minutes", 2.0)]
        found += [(study.BASE, seed, 1, "nmi_labels", 0.1 + seed / 10), (study.BASE, seed, 2, "nmi_previous", 0.4)]
    frame = pd.DataFrame([("whole", *row, "a machine") for row in found], columns=list(study.COLUMNS))
    text = study.text_of(frame)
    (row,) = [line for line in text.splitlines() if line.startswith("| k 10 ")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3:8] == ["2", *["58.0 (55.0 to 61.0)"] * 3, "-4.0 (-5.0 to -3.0)"]
    assert "| 1 | 0.150 (0.100 to 0.200) |  |" in text.splitlines()
    assert "| 2 |  | 0.400 (0.400 to 0.400) |" in text.splitlines()
    assert "In short" not in text and "In short" in study.text_of(frame.assign(length="short"))


def test_what_finished_runs_measured_is_gathered(study, evaluated_copy, monkeypatch):
    root: Path = evaluated_copy.root
    monkeypatch.setattr(study, "PROBE", "linear")
    monkeypatch.setattr(study, "LAYERS", ("conv1", "conv5"))
    one = ("whole", study.BASE, 0)
    monkeypatch.setattr(study.Row, "name", property(lambda row: "demo" if tuple(row) == one else "none"))
    frame = study.all_measured(root)
    final = frame[frame["epoch"] == "final"].set_index("measure")["value"]
    assert set(final.index) == {"nmi_labels", "ami_labels", "nmi_previous", "knn_accuracy", "conv1", "conv5", "minutes"}
    run = open_run("demo", root)
    assert final["conv5"] == run.evaluation("linear").numbers["top1.conv5"]
    history = run.history()["nmi_labels"]
    measured = frame[frame["measure"] == "nmi_labels"]
    assert measured["epoch"].tolist() == [1, 2, "final"] and measured["value"].tolist() == history.tolist()
    assert f"| {study.BASE} |" in study.text_of(frame)
    evaluated_copy.edit({"train": {"lr": 0.5}})
    with pytest.raises(Refusal, match=r"run demo was made with another train\.lr: delete it, or give another --work"):
        study.all_measured(root)


def test_what_other_machines_measured_stays_in_the_table(study, tmp_path):
    def measured(*rows: tuple[object, ...]) -> pd.DataFrame:
        return pd.DataFrame([(*row, "a machine") for row in rows], columns=list(study.COLUMNS))

    table = tmp_path / "study.csv"
    here = ("short", study.BASE, 1)
    old = measured(
        (*here, "2", "nmi_labels", 0.9),
        ("whole", study.BASE, 1, "final", "conv5", 60.0),
        ("short", "k 10", 0, "final", "conv5", 50.0),
        ("short", "a row of former days", 0, "final", "conv5", 1.0),
    )
    old.to_csv(table, index=False)
    frame = study.with_others(measured((*here, 10, "nmi_labels", 0.12345), (*here, 9, "nmi_labels", 0.1)), table)
    assert frame.drop(columns="machine").values.tolist() == [
        [*here, "10", "nmi_labels", 0.1234],
        [*here, "9", "nmi_labels", 0.1],
        ["short", "k 10", 0, "final", "conv5", 50.0],
        ["whole", study.BASE, 1, "final", "conv5", 60.0],
    ]
    lines = study.curves_table(frame).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["9", "10"]
    frame.to_csv(table, index=False)
    # A run that is there already keeps its machine, whoever writes the table.
    assert study.with_others(frame.tail(1).assign(machine="another"), table).equals(frame)
    anew = study.with_others(frame.tail(1).assign(machine="another", value=61.0), table)
    assert anew["machine"].tolist() == ["a machine"] * 3 + ["another"] and anew["value"].iloc[-1] == 61.0


def test_pictures_that_are_not_there_are_refused_before_a_run(study, tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(Refusal, match=r"test is no folder: give one with train/CLASS/ and test/CLASS/"):
        study.prepared(tmp_path / "work", tmp_path)


def test_the_document_has_a_place_for_its_tables(study):
    text = study.DOCUMENT.read_text(encoding="utf-8")
    assert 0 < text.index(study.START) < text.index(study.END)


def test_the_picture_shows_means_of_the_seeds_beside_the_untrained_network(study):
    from study_figure import figure_of

    found = [(study.BASE, 0, 1, "nmi_labels", 0.1), (study.BASE, 1, 1, "nmi_labels", 0.3)]
    found += [(study.BASE, seed, 2, measure, 0.5) for seed in (0, 1) for measure in ("nmi_labels", "nmi_previous")]
    for variant, groups, probe in ((study.BASE, 0.6, 70.0), ("untrained", 0.2, 60.0)):
        found += [(variant, 0, "final", "nmi_labels", groups)]
        found += [(variant, 0, "final", layer, probe) for layer in study.LAYERS]
    frame = pd.DataFrame([("whole", *row, "a machine") for row in found], columns=list(study.COLUMNS))
    labels, previous, probe = figure_of(frame, study.LAYERS).axes
    drawn = [list(line.get_ydata()) for line in labels.get_lines()]
    assert drawn == [pytest.approx([0.2, 0.5]), [0.6], [0.2, 0.2]]
    assert [list(line.get_ydata()) for line in previous.get_lines()] == [[0.5]]
    assert [list(line.get_ydata()) for line in probe.get_lines()] == [[70.0] * 3, [60.0] * 3]
    # Of what is not there yet nothing is drawn.
    assert all(not axes.get_lines() for axes in figure_of(frame.head(0), study.LAYERS).axes)
