"""pipeline/recomputing.py: recorded epochs and their hours are told before they are lost."""

from __future__ import annotations

import pandas as pd
import pytest
from pipeline_helpers import as_on_a_folder, params_of, unlink

from pipeline.branch import branch
from pipeline.preparing import Request, prepare
from pipeline.recomputing import epochs_to_recompute, recorded_hours, refuse_repacking
from stages.errors import Refusal
from stages.runtime.job import load_dataset_params
from stages.words import duration


def hours(root, epochs) -> float:
    """Hours of the last record of each stage of the epochs."""
    table = pd.read_csv(root / "data/runs/demo/timings.csv", dtype={"epoch": "str"})
    last = table.groupby(["epoch", "stage"])["seconds"].last()
    return sum(last.loc[str(epoch)].sum() for epoch in epochs) / 3600


def slowed(project) -> None:
    """As if each stage had taken an hour and more, the first time another."""
    path = project.run_path("timings.csv")
    table = pd.read_csv(path, dtype={"epoch": "str"})
    again = pd.concat([table.assign(seconds=9999.0), table.assign(seconds=3600.0 + 36 * table.index)])
    again.to_csv(path, index=False)


def test_recorded_epochs_and_their_hours_are_told_before_they_are_lost(finished_copy):
    slowed(finished_copy)
    expected = hours(finished_copy.root, [1, 2])
    assert 12 < expected < 15
    before = finished_copy.path("params.yaml").read_bytes(), finished_copy.tree()
    with pytest.raises(Refusal) as refused:
        prepare(finished_copy.root, Request("demo", sets=["train.lr=0.3"]))
    told = str(refused.value)
    assert f"2 recorded epochs of run demo (1, 2, {duration(expected * 3600)}) would be computed again" in told
    assert "--yes" in told and "branch --from demo@0" in told and "\n" not in told
    assert (finished_copy.path("params.yaml").read_bytes(), finished_copy.tree()) == before


def test_the_branch_that_is_advised_has_what_becomes_null_too(finished_copy, cli):
    finished_copy.run(sets=["train.top_lr=0.3"], yes=True)
    told = cli.refused(finished_copy.root, "run", "--set", "train.top_lr=null")
    command = told.partition("`python -m pipeline ")[2].rstrip("`")
    assert command == "branch --from demo@0 --run NAME --set train.top_lr=null"
    assert cli(finished_copy.root, *command.replace("NAME", "other").split()).status == 0
    assert params_of(finished_copy.root, "other").train.top_lr is None
    # Nor is an epoch made again by what params.yaml no longer has.
    finished_copy.edit({"train": {"top_lr": None}, "runs": {"demo": {"train": {"top_lr": None}}}})
    told = cli.refused(finished_copy.root, "rerun", "train", "--epoch", "2")
    assert "params.yaml gives run demo another train.top_lr" in told


def test_only_the_epochs_that_change_are_counted(finished_copy):
    slowed(finished_copy)
    (finished_copy.run_path("epochs/0002/centroids.npy")).unlink()
    with pytest.raises(
        Refusal,
        match=rf"1 recorded epoch of .*\(2, {duration(hours(finished_copy.root, [2]) * 3600)}\).*branch --from demo@1",
    ):
        prepare(finished_copy.root, Request("demo"))


def test_yes_goes_on(finished_copy):
    prepared = prepare(finished_copy.root, Request("demo", sets=["train.lr=0.3"], yes=True))
    assert prepared.params.train.lr == 0.3
    assert epochs_to_recompute(prepared.states) == [1, 2]


@pytest.mark.parametrize("change", [["threads=1"], ["workers=0"], ["train.horizon=99"], ["cluster.pic.sigma=1.0"]])
def test_what_changes_no_result_is_not_asked_about(finished_copy, change):
    prepared = prepare(finished_copy.root, Request("demo", sets=change))
    assert epochs_to_recompute(prepared.states) == []


def test_more_epochs_are_not_asked_about(finished_copy):
    prepared = prepare(finished_copy.root, Request("demo", epochs=5))
    assert epochs_to_recompute(prepared.states) == []
    assert any("3 of 5 epochs to compute" in line for line in prepared.lines)
    assert any(
        "170 pictures, 2 epochs computed;" in line for line in prepare(finished_copy.root, Request("demo")).lines
    )


@pytest.mark.parametrize("change", ["datasets.demo.labels=false", "datasets.demo.size=80", "datasets.demo.chunk_mib=2"])
def test_a_data_set_changed_by_set_asks_before_epochs_are_lost(finished_copy, change):
    # Packed anew, every epoch has another input; params.yaml on disk still says the old value.
    with pytest.raises(Refusal, match=r"2 recorded epochs.*--yes"):
        prepare(finished_copy.root, Request("demo", sets=[change]))


@pytest.fixture
def on_a_folder(finished_copy):
    """The demo as a run on a user's folder, from which a picture has gone since; its branch too."""
    branch(finished_copy.root, "demo@1", "side", [], None)
    finished_copy.run("side")
    as_on_a_folder(finished_copy, finished_copy.path("data/images/demo/pictures"))
    return finished_copy


def dataset(project):
    return load_dataset_params(project.root, "demo")


def test_packing_the_same_pictures_again_asks_nothing(on_a_folder):
    refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)


def test_packing_other_pictures_asks_before_recorded_epochs_lose_theirs(on_a_folder):
    unlink(next(on_a_folder.path("data/images/demo/pictures").rglob("*.png")))
    hours = r"\d+ s"
    lost = rf"run demo \(2 epochs: 1, 2, {hours}\) and run side \(1 epoch: 2, {hours} and lost, being of a branch\)"
    with pytest.raises(Refusal, match=rf"0 new, 1 gone since it was packed.*{lost}.*add --yes"):
        refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)
    refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=True)


@pytest.mark.parametrize(("key", "value"), [("size", 48), ("labels", False)])
def test_packing_otherwise_asks_before_recorded_epochs_lose_their_pictures(on_a_folder, key, value):
    on_a_folder.edit({"datasets": {"demo": {key: value}}})
    with pytest.raises(Refusal, match=rf"datasets\.demo\.{key} has changed since they were packed.*run demo"):
        refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)


@pytest.mark.parametrize("name", ["manifest.parquet", "pictures"])
def test_what_packing_again_mends_does_not_stop_it(on_a_folder, name):
    unlink(next(on_a_folder.path("data/images/demo/pictures").rglob("*.png")))
    unlink(on_a_folder.path(f"data/images/demo/{name}"))
    refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)


def test_generated_pictures_are_made_and_packed_again_unasked(cli, finished_copy):
    before = finished_copy.tree()
    unlink(finished_copy.path("data/images/demo/pictures"), finished_copy.path("data/images/demo/pixels.zarr"))
    ended = cli(finished_copy.root, "rerun", "pack", "--dataset", "demo")
    assert (ended.status, ended.err) == (0, "")
    assert finished_copy.tree() == before
    assert "done  pack done" in cli(finished_copy.root, "status").out


def test_hours_without_timings_are_zero(finished_copy):
    finished_copy.run_path("timings.csv").unlink()
    assert recorded_hours(finished_copy.root, "demo", [1, 2]) == 0


def test_a_damaged_row_of_timings_is_passed_over(finished_copy):
    before = recorded_hours(finished_copy.root, "demo", [1, 2])
    with open(finished_copy.run_path("timings.csv"), "a") as file:
        file.write("1,tra")
    assert recorded_hours(finished_copy.root, "demo", [1, 2]) == before > 0
