"""Pictures that were copied, touched, moved, or packed on another machine: nothing is lost, and nothing said to be."""

from __future__ import annotations

import errno
import os
import shutil

import pandas as pd
import pytest
from PIL import Image
from pipeline_helpers import as_on_a_folder, quiet, unlink
from stage_helpers import refused

from pipeline import open_run
from pipeline.drift import Source, drift
from pipeline.recording.engine import Engine
from stages.artifacts.run_params import load_run_params
from stages.dag.data import dataset_nodes
from stages.dag.graph import start_nodes
from stages.runtime.job import load_dataset_params
from stages.runtime.runner import reads_data


@pytest.fixture
def photos(finished_copy, tmp_path):
    """The pictures of a finished run, in a folder of the user's."""
    folder = tmp_path / "photos"
    shutil.move(finished_copy.path("data/images/demo/pictures"), folder)
    as_on_a_folder(finished_copy, folder)
    # The run's own parameters name the folder.
    finished_copy.run()
    return folder


def one_of(photos):
    return sorted(photos.rglob("*.png"))[0]


def repaint(path):
    with Image.open(path) as picture:
        other = picture.transpose(Image.Transpose.ROTATE_180)
    other.save(path)


def told(project):
    return drift(Source(project.root, load_dataset_params(project.root, "demo")))


def test_touched_pictures_are_packed_again_unasked_and_nothing_after_them_runs(cli, finished_copy, photos):
    before = finished_copy.tree()
    for path in photos.rglob("*.png"):
        os.utime(path, (1, 1))
    line = told(finished_copy)
    assert "some files have another date or size since it was packed" in line and "rerun pack --dataset demo" in line
    ended = cli(finished_copy.root, "rerun", "pack", "--dataset", "demo")
    assert (ended.status, ended.err) == (0, "")
    assert finished_copy.tree() == before
    assert told(finished_copy) is None
    assert "nothing to do" in cli(finished_copy.root, "run").out


def test_a_picture_of_the_same_size_and_other_content_asks(cli, finished_copy, photos):
    repaint(one_of(photos))
    line = cli.refused(finished_copy.root, "rerun", "pack", "--dataset", "demo")
    assert "1 with other content since it was packed" in line and "add --yes" in line


def test_a_folder_that_has_moved_is_told_and_costs_no_epoch(cli, finished_copy, photos, tmp_path):
    before = finished_copy.tree()
    elsewhere = tmp_path / "archive/photos"
    shutil.copytree(photos, elsewhere)
    shutil.rmtree(photos)
    assert f"{photos} is gone; the packed pictures are used (moved? set datasets.demo.path in params.yaml)" in told(
        finished_copy
    )
    ended = cli(finished_copy.root, "run", "--set", f"datasets.demo.path={elsewhere}")
    assert (ended.status, ended.err) == (0, "")
    assert {name: content for name, content in finished_copy.tree().items() if "params.yaml" not in name} == {
        name: content for name, content in before.items() if "params.yaml" not in name
    }
    assert "epoch 1" not in ended.out
    assert "nothing to do" in cli(finished_copy.root, "run").out


def test_a_folder_that_has_moved_with_another_picture_in_it_asks(cli, finished_copy, photos, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(photos, elsewhere)
    repaint(one_of(elsewhere))
    before = finished_copy.tree()
    line = cli.refused(finished_copy.root, "run", "--set", f"datasets.demo.path={elsewhere}")
    assert "2 recorded epochs of run demo" in line and "pack (datasets.demo changed)" in line
    assert f"start another run on these pictures: `python -m pipeline run --run NAME --images {elsewhere}`" in line
    assert finished_copy.tree() == before


def test_packed_pictures_that_were_removed_are_packed_again_and_cost_no_epoch(cli, finished_copy, photos):
    before = finished_copy.tree()
    unlink(finished_copy.path("data/images/demo"))
    ended = cli(finished_copy.root, "run")
    assert (ended.status, ended.err) == (0, "")
    assert finished_copy.tree() == before
    assert "epoch 1" not in ended.out


def test_other_pictures_in_place_of_removed_ones_stop_before_an_epoch_is_lost(cli, finished_copy, photos):
    unlink(finished_copy.path("data/images/demo"))
    repaint(one_of(photos))
    before = {name: content for name, content in finished_copy.tree().items() if name.startswith("runs/")}
    line = cli.refused(finished_copy.root, "run")
    assert "2 recorded epochs of run demo" in line and "pack.json changed" in line
    assert "start another run on these pictures" in line
    assert {name: content for name, content in finished_copy.tree().items() if name.startswith("runs/")} == before


def test_pictures_that_could_not_be_opened_are_told_once_they_can_be(finished_copy, photos, monkeypatch, cli):
    broken = os.fsencode(one_of(photos))
    opened = open

    def closed(path, *args, **options):
        if path == broken:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *args, **options)

    with monkeypatch.context() as patched:
        for module in ("pictures", "reading"):
            patched.setattr(f"stages.sources.{module}.open", closed, raising=False)
        assert cli(finished_copy.root, "rerun", "pack", "--dataset", "demo", "--yes").status == 0
        assert told(finished_copy) is None
    assert "1 could not be read last time, and can be now" in told(finished_copy)
    line = cli.refused(finished_copy.root, "rerun", "pack", "--dataset", "demo")
    assert "1 could not be read when it was packed, and can be now" in line and "add --yes" in line


def test_what_is_left_out_now_is_not_called_gone(finished_copy, photos, cli):
    folder = photos / "thumbnails"
    folder.mkdir()
    shutil.copy(one_of(photos), folder / "small.png")
    assert cli(finished_copy.root, "rerun", "pack", "--dataset", "demo", "--yes").status == 0
    folder.rename(photos / ".thumbnails")
    # As an earlier version packed them: under the name that is hidden now.
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    table = pd.read_parquet(manifest)
    table["path"] = [name.replace(b"thumbnails/", b".thumbnails/") for name in table["path"]]
    table.to_parquet(manifest, index=False)
    assert "1 in hidden folders, or of a kind that is left out now, since it was packed" in told(finished_copy)


def test_packing_is_refused_while_a_run_computes_on_the_pictures(cli, finished_copy):
    params = load_run_params(finished_copy.root / "data/runs/demo")
    before = finished_copy.tree()
    with reads_data(finished_copy.root, start_nodes(params)[0]):
        line = cli.refused(finished_copy.root, "rerun", "pack", "--dataset", "demo")
    assert "data set demo in use by run demo, host" in line and f"pid {os.getpid()}, since 2" in line
    assert finished_copy.tree() == before


def test_a_run_that_computes_holds_its_pictures(finished_copy):
    params = load_run_params(finished_copy.root / "data/runs/demo")
    with Engine(finished_copy.root, "demo", quiet()) as engine:
        engine.execute(start_nodes(params)[:1], params)
        with Engine(finished_copy.root, None, quiet()) as other:
            assert "in use by run demo" in refused(lambda: other.provide(dataset_nodes(params.pictures), force="pack"))


def test_a_branch_is_advised_only_where_its_checkpoint_is_there(cli, finished_copy):
    finished_copy.run_path("epochs/0000/checkpoint.pt").unlink()
    line = cli.refused(finished_copy.root, "run")
    assert line.endswith("add --yes") and "branch" not in line


def test_a_missing_network_is_called_missing(cli, finished_copy, tmp_path):
    """As in a fresh clone, to which `dvc pull` has brought what is small."""
    finished_copy.run_path("epochs/0002/checkpoint.pt").unlink()
    line = cli.refused(finished_copy.root, "embed", "data/images/demo/pictures", "-o", tmp_path / "out.parquet")
    assert "0002/checkpoint.pt is missing: `python -m pipeline verify --run demo`" in line


def test_copies_of_a_runs_pictures_are_found_in_pandas(cli, finished_copy, photos):
    assert open_run("demo", finished_copy.root).duplicates().empty
    first = one_of(photos)
    shutil.copy(first, first.with_name("copy.png"))
    ended = cli(finished_copy.root, "rerun", "pack", "--dataset", "demo", "--yes")
    assert "1 is a copy of others, byte for byte" in ended.out
    found = open_run("demo", finished_copy.root).duplicates()
    assert [os.path.basename(path) for path in found["path"]] == [first.name, "copy.png"]
    assert found["group"].tolist() == [0, 0]
