"""pipeline/*.py on a run that was changed and stopped, or whose files git brought back: nothing old passes for new."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from PIL import Image
from pipeline_helpers import flip_byte, node_of, params_of

from pipeline import open_run
from pipeline.branch import branch
from pipeline.embed import embed
from pipeline.preparing import Request, prepare
from pipeline.recording.engine import Engine
from pipeline.rerun import rerun
from stages.dag.graph import start_nodes
from stages.errors import Refusal
from stages.runtime.report import Reporter


@pytest.fixture
def mixed_run(finished_copy):
    """As `run --yes --set train.lr=0.3` leaves it when stopped at the end of epoch 1."""
    finished_copy.edit({"train": {"lr": 0.3}})
    params = params_of(finished_copy.root)
    nodes = [start_nodes(params)[0], node_of(params, "0001:train"), node_of(params, "0001:checkpoint")]
    with Engine(finished_copy.root, "demo", Reporter()) as engine:
        assert engine.execute(nodes, params) == 3
    return finished_copy


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.new("RGB", (90, 80), (index, 2 * index, 50)).save(folder / f"{index:03d}.png")
    return folder


def test_epochs_that_do_not_descend_from_the_others_are_told(mixed_run, cli):
    run = open_run("demo", mixed_run.root)
    for call in (run.history, run.assignments, run.nmi):
        with pytest.warns(UserWarning, match=r"run demo: epochs 2 and final were made from files that have since"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        told = cli(mixed_run.root, "nmi")
    assert told.status == 0 and "epochs 2 and final" in told.err and told.err.count("\n") == 1


def test_a_run_that_is_whole_warns_of_nothing(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run.history()) == 3 and len(run.assignments()) > 0


def test_a_branch_from_a_stale_epoch_is_refused(mixed_run):
    before = mixed_run.path("params.yaml").read_bytes()
    with pytest.raises(Refusal, match=r"epoch 2 of run demo is not what .*0002:extract is stale .*run --run demo"):
        branch(mixed_run.root, "demo@2", "b", [], None)
    assert mixed_run.path("params.yaml").read_bytes() == before and not mixed_run.run_path("", "b").exists()
    assert branch(mixed_run.root, "demo@1", "b", [], None).train.lr == 0.3


def test_the_branch_that_keeps_recorded_epochs_takes_the_edit_with_it(finished_copy):
    finished_copy.edit({"train": {"lr": 0.3}, "cluster": {"k": 7}})
    with pytest.raises(Refusal, match=r"branch --from demo@0 --run NAME --set cluster\.k=7 --set train\.lr=0\.3`"):
        prepare(finished_copy.root, Request("demo"))


def test_a_stage_is_not_rerun_with_parameters_that_were_edited_since(finished_copy):
    finished_copy.edit({"train": {"lr": 0.3}, "threads": 1})
    before = finished_copy.tree()
    with pytest.raises(Refusal, match=r"another train\.lr than .*run --run demo"):
        rerun(finished_copy.root, "demo", "train", "1", False, Reporter())
    assert finished_copy.tree() == before


@pytest.mark.parametrize("name", ["epochs/0002/checkpoint.pt", "final/pca.npz", "final/centroids.npy"])
def test_embed_refuses_what_is_not_as_recorded(finished_copy, tmp_path, name):
    flip_byte(finished_copy.run_path(name))
    with pytest.raises(Refusal, match=rf"{name} is not what was recorded.*verify --run demo"):
        embed(
            finished_copy.root, "demo", finished_copy.path("data/images/demo/pictures"), tmp_path / "o.csv", Reporter()
        )
    assert not (tmp_path / "o.csv").exists()


def test_pictures_are_listed_and_grouped_without_their_pixels(finished_copy):
    """As after `dvc pull`, which brings small artifacts."""
    finished_copy.path("data/images/demo/pixels.zarr").rename(finished_copy.path("elsewhere"))
    run = open_run("demo", finished_copy.root)
    assert len(run.images()) == len(run.groups()) == 170
    assert run.clusters(1)["size"].sum() == 170
    with pytest.raises(Refusal, match="rerun pack --dataset demo"):
        run.image(0)


def test_a_name_used_again_is_fitted_to_the_new_pictures(make_project, tmp_path):
    project = make_project(plan=False)
    few, many = pictures(tmp_path / "few", 24), pictures(tmp_path / "many", 90)
    folder = project.path("data/images/mine")
    folder.mkdir(parents=True)
    (folder / "pack.json").write_text(json.dumps({"images": 24, "labelled": 0}))
    (folder / "listing.json").write_text(json.dumps({"path": str(few), "digest": "", "count": 24}))
    prepared = prepare(project.root, Request("mine", images=many, sets=["cluster.k=40"]))
    # What was given is told, not what would have fitted.
    assert "90 pictures" in prepared.lines[0] and "k 40," in prepared.lines[0]
    assert prepared.params.cluster.k == 40
