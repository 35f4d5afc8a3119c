"""`run --run b --dataset demo`: another network on pictures that are packed."""

from __future__ import annotations

import pytest
from pipeline_helpers import content_of

import pipeline
from pipeline.preparing import Request, prepare
from pipeline.presets import fit_values, look
from stages.sources.listing import list_source

SMALL = ("--set", "model.width=0.0625", "--set", "whiten.dim=16", "--epochs", "1")


def test_a_second_run_trains_on_the_packed_pictures_and_packs_nothing(cli, finished_copy):
    pack = finished_copy.path("data/images/demo/pack.json")
    before = pack.stat().st_mtime_ns, sorted(finished_copy.path("data/images").iterdir())
    ended = cli(finished_copy.root, "run", "--run", "b", "--dataset", "demo", *SMALL)
    assert (ended.status, ended.err) == (0, "")
    assert "170 pictures" in ended.out.splitlines()[0] and "written under runs.b in params.yaml" in ended.out
    assert (pack.stat().st_mtime_ns, sorted(finished_copy.path("data/images").iterdir())) == before
    run = pipeline.open_run("b", finished_copy.root)
    assert run.epochs() == [1] and len(run.groups()) == 170
    assert pipeline.compare("demo", "b", root=finished_copy.root)["epochs"].tolist() == [2, 1]
    again = cli(finished_copy.root, "run", "--run", "b", "--dataset", "demo")
    assert "nothing to do" in again.out
    again = cli(finished_copy.root, "run", "--run", "b", "--dataset", "demo", "--preset", "paper")
    assert "run b goes on as it was begun: --preset paper is for new runs" in again.out
    assert "nothing to do" in again.out


def test_the_values_fit_as_they_do_for_the_folder_and_the_size_that_is_packed(finished):
    params = prepare(finished.root, Request("b", dataset="demo")).params
    folder, _ = fit_values(look(list_source(finished.path("data/images/demo/pictures"))), "fit", "cpu")
    assert (params.cluster.k, params.train.batch) == (folder["cluster"]["k"], folder["train"]["batch"])
    assert (params.whiten.dim, params.model.width) == (folder["whiten"]["dim"], folder["model"]["width"])
    assert (params.dataset.size, params.model.input) == (72, 64)
    assert "b" not in content_of(finished.root)["runs"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--run", "b", "--dataset", "nosuch"], "no such data set (known: demo, demo-test, "),
        (["--run", "demo", "--dataset", "imagenet"], "run demo exists already, on data set demo"),
        (["--run", "b", "--dataset", "demo", "--images", "."], "--images and --dataset"),
        (["--run", "a/b", "--dataset", "demo"], "a/b"),
        (["--run", "b", "--dataset", "demo", "--preset", "paper"], "model.input: 224 is larger"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(cli, finished, words, told):
    before = finished.path("params.yaml").read_bytes()
    assert told in cli.refused(finished.root, "run", *words)
    assert finished.path("params.yaml").read_bytes() == before
    assert not finished.run_path("", "b").exists()


def test_a_new_run_takes_no_data_set_that_others_use(finished_copy, cli):
    pictures = finished_copy.path("data/images/demo/pictures")
    before = finished_copy.path("params.yaml").read_bytes()
    line = cli.refused(finished_copy.root, "run", "--run", "cifar10", "--images", pictures)
    assert line.startswith("datasets.cifar10 is there already, for run cifar, run cifar-v2, evaluation cifar-linear: ")
    assert "demo-linear" in cli.refused(finished_copy.root, "run", "--run", "demo-test", "--images", pictures)
    assert finished_copy.path("params.yaml").read_bytes() == before
