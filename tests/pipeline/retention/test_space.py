"""pipeline/retention/space.py: the disk that a run needs, and a run that does not fit."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
import torch
from pipeline_helpers import content_of, params_of

from pipeline.preparing import Request, prepare
from pipeline.recording.inspector import of_run, project_nodes
from pipeline.retention.space import MEAN_ASPECT, parameters, space
from stages.artifacts.checkpoints import build
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.resolution import resolve_run

Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**15, 10**15 - size, size))


def test_a_run_that_does_not_fit_on_the_disk_is_refused(make_project, monkeypatch):
    project = make_project(plan=False)
    with_free(monkeypatch, 1_000_000)
    before = project.path("params.yaml").read_bytes()
    with pytest.raises(Refusal, match=r"run demo needs [\d.]+ [kM]B and [\d.]+ ([kM]B|bytes) are free; make room"):
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


def test_a_top_layer_that_is_kept_is_counted_in_each_epoch(make_project):
    project = make_project(plan=False)
    params = params_of(project.root)
    kept = params.model_copy(update={"train": params.train.model_copy(update={"top_kept": True})})
    plain, more = (space(project.root, each, 170, of_run(project.root, each)).needed * 1e9 for each in (params, kept))
    features = ARCHITECTURES[params.model.architecture].features(params.model.width)
    assert more - plain == pytest.approx(params.epochs * params.cluster.k * (features + 1) * 4)


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
    params = resolve_run(content_of(), run)
    assert parameters(params) == counted(params)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("sobel", [True, False])
@pytest.mark.parametrize("width", [0.3, 1.0])
def test_every_network_is_counted(architecture, sobel, width):
    content = content_of()
    content["model"] |= {"architecture": architecture, "sobel": sobel, "width": width, "input": 64}
    content["whiten"]["dim"] = 16
    content["runs"]["demo"] = {}
    params = resolve_run(content, "demo")
    assert parameters(params) == counted(params)


def counted(params) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in build(params.model).parameters())


def test_the_need_of_a_run_follows_its_policy(make_project, monkeypatch):
    project = make_project(change={"epochs": 8}, plan=False)
    content = content_of(project.root)

    def needed(retain) -> float:
        params = resolve_run(content | {"retain": retain}, "demo")
        return space(project.root, params, 170, of_run(project.root, params)).needed * 1e9

    params = resolve_run(content, "demo")
    trained = parameters(params) * 8
    epoch = 170 * (256 * 4 + 32 * 4) + trained
    everything = needed({"last": "all"})
    assert everything - needed({"last": 8}) == pytest.approx(0, abs=1)
    # Most lies there when epoch 8 has ended, with 5 to 7 and a checkpoint; final/ and the weights come after.
    small = 2 * (11 * 170 + 10 * 32 * 4 + 256 * 32 * 8)
    later = 170 * (256 * 4 + 32 * 4) + small + trained / 2
    assert everything - needed({"last": 3}) == pytest.approx(4 * epoch + later - trained, rel=1e-6)
    # The island 4, the checkpoint before it, that before 7, and 7 and 8.
    assert everything - needed({"last": 1, "every": 4}) == pytest.approx(5 * epoch + later - 2 * trained, rel=1e-6)


def test_what_a_pruned_run_goes_on_with_needs_one_epoch_and_no_more(shortened):
    params = params_of(shortened.root).model_copy(update={"epochs": 9})
    found = of_run(shortened.root, params)
    needed = space(shortened.root, params, 40, found).needed * 1e9
    one = 40 * (128 * 4 + 8 * 4) + parameters(params) * 8
    assert one < needed < 2 * one


def test_what_a_stopped_stage_has_written_is_needed_once(make_project):
    project = make_project(plan=False)
    params = params_of(project.root)
    states = of_run(project.root, params)
    needed = space(project.root, params, 170, states).needed
    partial = project.path("data/images/demo/.partial-pack")
    partial.mkdir(parents=True)
    (partial / "part").write_bytes(bytes(100_000))
    assert needed - space(project.root, params, 170, states).needed == pytest.approx(100_000 / 1e9)
