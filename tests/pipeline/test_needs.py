"""What a run tells before it begins: disk, recorded epochs and their hours."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pandas as pd
import pytest
import torch
import yaml
from pipeline_helpers import content_of, params_of, unlink
from projects import ROOT

from pipeline.branch import branch
from pipeline.machine import refuse_device
from pipeline.preparing import Request, prepare
from pipeline.recomputing import recomputed, recorded_hours, refuse_repacking
from pipeline.recording.inspector import of_run, project_nodes
from pipeline.retention.space import MEAN_ASPECT, parameters, space
from stages.artifacts.checkpoints import build
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.resolution import resolve
from stages.runtime.job import load_dataset_params

Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**15, 10**15 - size, size))


def test_a_run_that_does_not_fit_on_the_disk_is_refused(make_project, monkeypatch):
    project = make_project(plan=False)
    with_free(monkeypatch, 1_000_000)
    before = project.path("params.yaml").read_bytes()
    with pytest.raises(Refusal, match=r"run demo needs 0\.0\d* GB and 0\.0\d* GB are free; make room"):
        prepare(project.root, Request("demo"))
    assert project.path("params.yaml").read_bytes() == before
    assert not project.path("data").exists()


def test_a_run_that_just_fits_begins(make_project, monkeypatch):
    project = make_project(plan=False)
    params = params_of(project.root)
    with_free(monkeypatch, 10**12)
    needed = space(project.root, params, 170, of_run(project.root, params)).needed
    with_free(monkeypatch, round(needed * 1e9) + 1)
    assert space(project.root, params, 170, of_run(project.root, params)).free >= needed
    with_free(monkeypatch, round(needed * 1e9) - 1000)
    with pytest.raises(Refusal, match="needs"):
        space(project.root, params, 170, of_run(project.root, params))


def test_the_estimate_is_what_a_run_takes(make_project, finished):
    project = make_project(plan=False)
    params = params_of(project.root)
    estimate = space(project.root, params, 170, of_run(project.root, params)).needed * 1e9
    taken = 0
    for node in project_nodes(params):
        for out in node.outs.values():
            path = finished.path(out.path)
            if out.kind in ("large", "persistent") and path.name not in ("checkpoint.pt", "pictures", "params.yaml"):
                files = path.rglob("*") if path.is_dir() else [path]
                taken += sum(file.stat().st_size for file in files if file.is_file())
    assert 0.6 * taken < estimate < 1.7 * taken


def test_a_finished_run_needs_nothing_more(finished):
    params = params_of(finished.root)
    assert space(finished.root, params, 170, of_run(finished.root, params)).needed == 0


def test_pictures_packed_again_take_their_place_beside_the_old_ones(finished_copy):
    finished_copy.edit({"datasets": {"demo": {"size": 80}}})
    params = params_of(finished_copy.root)
    states = of_run(finished_copy.root, params, content_of(finished_copy.root))
    needed = space(finished_copy.root, params, 170, states).needed * 1e9
    assert needed == pytest.approx(170 * 80 * 80 * 3 * MEAN_ASPECT)


@pytest.mark.parametrize("run", ["imagenet-alexnet", "imagenet-alexnet-rgb", "imagenet-vgg16"])
def test_the_papers_networks_are_counted(run):
    params = resolve(content_of(ROOT), run)
    assert parameters(params) == counted(params)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("sobel", [True, False])
@pytest.mark.parametrize("width", [0.3, 1.0])
def test_every_network_is_counted(architecture, sobel, width):
    content = content_of(ROOT)
    content["model"] |= {"architecture": architecture, "sobel": sobel, "width": width, "input": 64}
    content["whiten"]["dim"] = 16
    params = resolve(content, "demo")
    assert parameters(params) == counted(params)


def counted(params) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in build(params.model).parameters())


# ---------------------------------------------------------------- no silent loss of days


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
    assert f"2 recorded epochs of run demo (1 to 2, {expected:.2f} hours) would be computed again" in told
    assert "--yes" in told and "branch --from demo@0" in told and "\n" not in told
    assert (finished_copy.path("params.yaml").read_bytes(), finished_copy.tree()) == before


def test_only_the_epochs_that_change_are_counted(finished_copy):
    slowed(finished_copy)
    (finished_copy.run_path("epochs/0002/centroids.npy")).unlink()
    with pytest.raises(Refusal, match=rf"\(2 to 2, {hours(finished_copy.root, [2]):.2f} hours\).*branch --from demo@1"):
        prepare(finished_copy.root, Request("demo"))


def test_yes_goes_on(finished_copy):
    prepared = prepare(finished_copy.root, Request("demo", sets=["train.lr=0.3"], yes=True))
    assert prepared.params.train.lr == 0.3
    assert recomputed(prepared.states) == [1, 2]


@pytest.mark.parametrize("change", [["threads=1"], ["workers=0"], ["train.horizon=99"], ["cluster.pic.sigma=1.0"]])
def test_what_changes_no_result_is_not_asked_about(finished_copy, change):
    prepared = prepare(finished_copy.root, Request("demo", sets=change))
    assert recomputed(prepared.states) == []


def test_more_epochs_are_not_asked_about(finished_copy):
    prepared = prepare(finished_copy.root, Request("demo", epochs=5))
    assert recomputed(prepared.states) == []
    assert any("3 of 5 epochs to compute" in line for line in prepared.lines)


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
    entry = content_of(finished_copy.root)["datasets"]["demo"]
    del entry["generate"]
    lock = finished_copy.path("data/images/demo/dvc.lock")
    content = yaml.safe_load(lock.read_text())
    for stage in content["stages"].values():
        stage["params"] = {name: {"datasets.demo": entry} for name in stage["params"] if name.endswith("params.yaml")}
    lock.write_text(yaml.safe_dump(content))
    settings = content_of(finished_copy.root)
    settings["datasets"]["demo"] = entry
    finished_copy.path("params.yaml").write_text(yaml.safe_dump(settings))
    return finished_copy


def dataset(project):
    return load_dataset_params(project.root, "demo")


def test_packing_the_same_pictures_again_asks_nothing(on_a_folder):
    refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)


def test_packing_other_pictures_asks_before_recorded_epochs_lose_theirs(on_a_folder):
    unlink(next(on_a_folder.path("data/images/demo/pictures").rglob("*.png")))
    hours = r"\d\.\d\d hours"
    lost = rf"run demo \(epochs 1, 2, {hours}\) and run side \(epochs 2, {hours} and lost, being of a branch\)"
    with pytest.raises(Refusal, match=rf"0 new, 1 gone since it was packed.*{lost}.*add --yes"):
        refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)
    refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=True)


@pytest.mark.parametrize(("key", "value"), [("size", 48), ("path", "elsewhere"), ("labels", False)])
def test_packing_otherwise_asks_before_recorded_epochs_lose_their_pictures(on_a_folder, key, value):
    on_a_folder.edit({"datasets": {"demo": {key: value}}})
    with pytest.raises(Refusal, match=rf"datasets\.demo\.{key} has changed since they were packed.*run demo"):
        refuse_repacking(on_a_folder.root, dataset(on_a_folder), yes=False)


@pytest.mark.parametrize("name", ["listing.json", "manifest.parquet", "pictures"])
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


def test_a_linked_data_folder_is_refused_with_a_way_out(finished_copy, tmp_path):
    moved = tmp_path / "elsewhere"
    finished_copy.path("data").rename(moved)
    finished_copy.path("data").symlink_to(moved)
    with pytest.raises(Refusal, match=r"data is a link.*mount --bind"):
        prepare(finished_copy.root, Request("demo"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    content = content_of(ROOT)
    content["device"] = "cuda"
    with pytest.raises(Refusal, match=r"device: cuda: .*--set device=cpu"):
        refuse_device(resolve(content, "demo"))


def test_another_number_of_threads_is_told_and_redoes_nothing(finished_copy):
    finished_copy.edit({"threads": 1})
    told = finished_copy.run()
    assert "threads: 1, and stages so far used 2" in told
    # resolve alone writes the number down.
    assert "1 stages run" in told
