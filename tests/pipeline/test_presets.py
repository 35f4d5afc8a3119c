"""pipeline/presets.py: values of a new run on a folder: they fit 200 pictures and 200,000, or they are the paper's."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import yaml
from PIL import Image
from pipeline_helpers import content_of

from pipeline import presets
from pipeline.preparing import Request, prepare
from pipeline.presets import Looked, fit_values, look, run_values
from stages.errors import Refusal
from stages.parameters.checks import check_counts
from stages.parameters.resolution import resolve_run
from stages.parameters.run import RunParams
from stages.sources.entries import Entry, Listing


def listing_of(count: int, path: Path, size: tuple[int, int]) -> Listing:
    """As many entries as asked for, all of one small picture."""
    Image.new("RGB", size, "red").save(path)
    return Listing([Entry(os.fsencode(path.name), os.fsencode(path.parent), 1, 1)] * count)


def fitted(listing: Listing, preset: str = "fit", device: str = "cpu") -> RunParams:
    overrides, dataset = fit_values(look(listing), preset, device)
    content = content_of()
    content["datasets"]["new"] = {"path": "/pictures", **dataset}
    content["runs"]["new"] = {"dataset": "new", "device": device, **overrides}
    params = resolve_run(yaml.safe_load(yaml.safe_dump(content)), "new")
    check_counts(params, len(listing.entries))
    return params


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("size", [(500, 375), (32, 32), (20, 40), (63, 63), (2000, 1500)])
@pytest.mark.parametrize("count", [2, 8, 20, 200, 200_000])
def test_the_values_resolve_for_any_number_and_size_of_pictures(tmp_path, count, size, device):
    params = fitted(listing_of(count, tmp_path / "a.png", size), device=device)
    assert 1 < params.cluster.k <= count
    assert params.train.batch <= max(2, count)
    assert params.train.horizon is None or params.train.horizon == params.epochs


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_thousands_of_photographs_get_what_was_tried_on_them_and_more_the_papers_network(tmp_path, device):
    small, large = (fitted(listing_of(n, tmp_path / "a.png", (300, 200)), device=device) for n in (3_000, 200_000))
    assert (small.model.architecture, small.model.sobel, small.cluster.spherical) == ("resnet10", False, True)
    assert (small.train.schedule, small.train.shards) == ("cosine", 2 if device == "cpu" else 1)
    assert (large.model.architecture, large.model.sobel, large.cluster.spherical) == ("alexnet", True, False)
    assert large.model.width == (0.25 if device == "cpu" else 1)
    assert (large.train.schedule, large.train.shards) == ("constant", 1)
    assert (small.dataset.size, large.dataset.size) == (128, 128 if device == "cpu" else 200)


def test_bf16_is_chosen_where_the_processor_has_units_for_it(tmp_path, monkeypatch):
    listing = listing_of(3_000, tmp_path / "a.png", (300, 200))
    for has, precision in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(presets, "multiplies_bf16", lambda has=has: has)
        assert fitted(listing).precision == precision
        assert fitted(listing, device="cuda").precision == "float32"


def test_as_many_crops_are_trained_on_whatever_the_folder(tmp_path):
    """But for small ones, whose pictures would be seen thousands of times."""
    for count in (400, 1_000, 1_500, 3_000, 6_000, 8_000, 10_000):
        params = fitted(listing_of(count, tmp_path / "a.png", (300, 200)))
        assert 0.9 < params.epochs * params.train.passes * count / presets.LOOKS < 1.1, count
    small = fitted(listing_of(50, tmp_path / "a.png", (300, 200)))
    assert small.epochs * small.train.passes * 50 == 54 * 20 * 50 < presets.LOOKS / 5


@pytest.mark.parametrize(
    ("count", "batch", "passes", "epochs"),
    [
        (100, 25, 20, 54),
        (250, 62, 20, 54),
        (400, 64, 20, 54),
        (1_500, 64, 8, 36),
        (3_000, 64, 4, 36),
        (10_000, 64, 4, 11),
        (30_000, 64, 4, 10),
    ],
)
def test_batch_passes_and_epochs_follow_from_the_number_of_photographs(count, batch, passes, epochs):
    values = run_values(count, 128, "fit", "cpu")
    assert (values["train"]["batch"], values["train"]["passes"], values["epochs"]) == (batch, passes, epochs)


def test_clusters_are_few_enough_to_browse_until_the_papers_are_fewer(tmp_path):
    """2 sqrt(N) up to 50,000; beyond, N to the power .71, which gives the paper's 10,000 at ImageNet's 1,281,167."""
    counts = (200, 1_500, 3_000, 10_000, 200_000, 1_281_167)
    found = [fitted(listing_of(n, tmp_path / "a.png", (64, 64))).cluster.k for n in counts]
    assert found == [28, 77, 110, 200, 2_700, 10_000]


@pytest.mark.parametrize(
    ("sets", "epochs", "horizon"), [([], 5, 5), (["epochs=7"], None, 7), (["train.horizon=9"], 5, 9)]
)
def test_a_cosine_schedule_ends_with_the_epochs_that_were_asked_for(make_project, pictures, sets, epochs, horizon):
    project = make_project(plan=False)
    request = Request("mine", images=pictures, epochs=epochs, sets=sets)
    assert prepare(project.root, request).params.train.horizon == horizon


def test_the_size_is_the_median_short_side(tmp_path):
    entries = []
    for i, size in enumerate([(100, 300), (120, 90), (200, 110), (1000, 1000), (10, 10)]):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", size).save(path)
        entries.append(Entry(path.name.encode(), os.fsencode(tmp_path), 1, 1))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    entries.append(Entry(b"broken.png", os.fsencode(tmp_path), 1, 1))
    assert look(Listing(entries)) == Looked(count=5, of=6, short=100)


def test_a_large_picture_is_looked_at_without_a_warning(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (12000, 8000)).save(path)
    assert look(Listing([Entry(b"large.png", os.fsencode(tmp_path), 1, 1)])).short == 8000


def test_a_folder_of_unreadable_pictures_is_refused(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    listing = Listing([Entry(b"broken.png", os.fsencode(tmp_path), 1, 1)])
    with pytest.raises(Refusal, match=r"none of the 1 pictures .*such as .*broken.png; give another folder"):
        fit_values(look(listing), "fit", "cpu")


def test_the_paper_preset_is_section_3_4(tmp_path):
    params = fitted(listing_of(20_000, tmp_path / "a.png", (500, 375)), "paper")
    assert (params.model.architecture, params.model.sobel, params.model.width) == ("alexnet", True, 1.0)
    assert params.model.input == 224
    assert (params.cluster.method, params.cluster.k, params.cluster.every) == ("kmeans", 10_000, 1)
    assert params.whiten.dim == 256
    assert (params.train.batch, params.train.momentum, params.train.dropout) == (256, 0.9, 0.5)
    assert (params.train.schedule, params.train.sampling, params.train.passes) == ("constant", "uniform", 1)
    assert params.epochs == 500
    assert params.dataset.size == 256
    # Not in the paper's text; what its authors' code has.
    assert (params.train.lr, params.train.weight_decay, params.cluster.iterations) == (0.05, 1e-5, 20)


def test_the_paper_preset_equals_the_runs_named_after_the_paper(tmp_path):
    preset = fitted(listing_of(20_000, tmp_path / "a.png", (500, 375)), "paper")
    named = resolve_run(content_of(), "imagenet-alexnet")
    for section in ("model", "whiten", "cluster", "train", "epochs", "retain"):
        assert getattr(preset, section) == getattr(named, section), section


def test_the_paper_preset_on_too_few_pictures_is_refused(tmp_path):
    with pytest.raises(
        Refusal,
        match=r"k: 10000 clusters and whiten.dim: 256 dim.* 200 pictures; --set cluster.k=10 --set whiten.dim=100",
    ):
        fitted(listing_of(200, tmp_path / "a.png", (64, 64)), "paper")


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    for i in range(24):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90 + i, 80), (i * 10, 0, 0)).save(folder / "ab"[i % 2] / f"{i}.png")
    return folder


def test_a_new_run_on_a_folder_is_written_with_explicit_values_and_told_in_a_line(make_project, pictures):
    project = make_project(plan=False)
    before = project.path("params.yaml").read_bytes()
    prepared = prepare(project.root, Request("mine", images=pictures, sets=["epochs=1"]))
    assert project.path("params.yaml").read_bytes() == before
    prepared.settings.save()
    content = content_of(project.root)
    assert content["datasets"]["mine"]["path"] == str(pictures)
    run = content["runs"]["mine"]
    assert (run["dataset"], run["epochs"]) == ("mine", 1)
    assert {"input", "width"} <= set(run["model"]) and {"k"} <= set(run["cluster"]) and {"batch"} <= set(run["train"])
    assert content["datasets"]["mine"]["size"] == 80
    told = prepared.lines[0]
    assert "\n" not in told and "24 pictures" in told and f"k {run['cluster']['k']}" in told
    assert resolve_run(content, "mine").cluster.k == run["cluster"]["k"]


@pytest.mark.parametrize(("count", "warned"), [(99, True), (100, False)])
def test_fewer_pictures_than_were_tried_are_told_of_weights_first(make_project, tmp_path, count, warned):
    project = make_project(plan=False)
    folder = tmp_path / "some pictures"
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (80, 80), (i, 0, 0)).save(folder / f"{i}.png")
    prepared = prepare(project.root, Request("mine", images=folder))
    told = [line for line in prepared.lines if "--weights torchvision:resnet50 --epochs 0" in line]
    assert len(told) == warned
    if warned:
        assert (
            prepared.lines[1] == told[0] and f"--images '{folder}'" in told[0] and "fewer than 100 pictures" in told[0]
        )
    prepared.settings.save()
    again = prepare(project.root, Request("mine", images=folder))
    assert not any("--weights" in line for line in again.lines)


def test_what_set_says_goes_over_what_fits(make_project, pictures):
    project = make_project(plan=False)
    params = prepare(project.root, Request("mine", images=pictures, sets=["cluster.k=3", "model.input=64"])).params
    assert (params.cluster.k, params.model.input) == (3, 64)


def test_the_same_folder_again_goes_on_with_the_values_that_were_chosen(make_project, pictures):
    project = make_project(plan=False)
    first = prepare(project.root, Request("mine", images=pictures, sets=["cluster.k=3"]))
    first.settings.save()
    assert prepare(project.root, Request("mine", images=pictures)).params == first.params


def test_a_name_in_use_on_other_pictures_is_refused(make_project, pictures, tmp_path):
    project = make_project(plan=False)
    prepare(project.root, Request("mine", images=pictures)).settings.save()
    other = tmp_path / "other"
    pictures.rename(other)
    with pytest.raises(Refusal, match="run mine exists already, on other pictures") as refused:
        prepare(project.root, Request("mine", images=other))
    advice = str(refused.value).partition(" --set ")[2].rstrip("`")
    assert prepare(project.root, Request("mine", sets=[advice])).params.dataset.path == str(other)


def test_a_run_of_the_paper_preset_leaves_the_preset_as_it_is(make_project, pictures):
    project = make_project(plan=False)
    before = copy.deepcopy(presets.PAPER)
    sets = ["train.lr=0.5", "cluster.k=4", "whiten.dim=8", "model.width=0.0625", "epochs=1"]
    params = prepare(project.root, Request("mine", images=pictures, preset="paper", sets=sets)).params
    assert params.train.lr == 0.5
    assert before == presets.PAPER


@pytest.mark.parametrize("assignment", ["epochs=many", "epochs=2.5", "train=3", "train=null"])
def test_a_wrong_value_of_a_new_run_is_one_line(make_project, pictures, assignment):
    project = make_project(plan=False)
    with pytest.raises(Refusal, match=rf"^params\.yaml: {assignment.partition('=')[0]}"):
        prepare(project.root, Request("mine", images=pictures, sets=[assignment]))


@pytest.mark.parametrize(
    ("size", "network", "seen", "trained"),
    [
        (96, "resnet10", 64, 48),
        (64, "resnet10", 64, 48),
        (56, "resnet10", 56, 48),
        (48, "resnet10", 48, 48),
        (47, "convnet", 32, 24),
        (32, "convnet", 32, 24),
        (28, "convnet", 28, 24),
        (20, "convnet", 20, 20),
    ],
)
def test_the_network_fits_the_size_that_pictures_are_packed_at(size, network, seen, trained):
    values = run_values(3_000, size, "fit", "cpu")
    assert (values["model"]["architecture"], values["model"]["input"]) == (network, seen)
    assert values["train"]["input"] == values["final"]["extract"]["input"] == trained


@pytest.mark.parametrize(("short", "size"), [(20, 32), (32, 32), (40, 40), (47, 47), (48, 72), (100, 100), (400, 128)])
def test_thumbnails_are_packed_as_large_as_they_are(short, size):
    values, dataset = fit_values(Looked(3_000, 3_000, short), "fit", "cpu")
    assert dataset["size"] == size
    assert (values["model"]["architecture"] == "convnet") == (short < 48)


def test_many_thumbnails_get_the_same_network_as_few():
    values, dataset = fit_values(Looked(60_000, 60_000, 28), "fit", "cpu")
    assert (dataset["size"], values["model"]["architecture"], values["model"]["input"]) == (32, "convnet", 32)
    values, dataset = fit_values(Looked(60_000, 60_000, 64), "fit", "cpu")
    assert dataset["size"] == 72 and "architecture" not in values["model"]
