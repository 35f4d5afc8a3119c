"""A later version of the program: one more stage by three files, one more key with a default."""

import json
import re

import pytest
import yaml
from projects import Project
from slow_helpers import copied, dvc_status, repro, since, stages_run

pytestmark = pytest.mark.slow

STAGE = '''"""Counts the clusters of an epoch.

reads   clustering.json
writes  toy.json   their number, times a factor
"""

from stages.artifacts.documents import load_json, write_json
from stages.parameters.toy import ToyKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 1


def toy(job: Job[ToyKeys]) -> None:
    used = load_json(job.input("clustering"))["used"]
    write_json(job.output("toy"), {"clusters": used * job.params.toy.times, "seed": job.params.seed})


if __name__ == "__main__":
    run_stage(toy)
'''

DECLARATION = '''"""The stage `toy`."""

from stages.dag.names import CLUSTERING
from stages.dag.stage import Read, Stage, Write
from stages.parameters.toy import ToyKeys

STAGE = Stage(
    "toy",
    "counts the clusters",
    place="clustered epoch",
    reads={"clustering": Read(CLUSTERING)},
    writes={"toy": Write("toy.json")},
    keys=ToyKeys,
)
'''

PARAMETERS = '''"""The section `toy`."""

from stages.parameters.types import Int, Section, Seed


class ToyParams(Section):
    """How clusters are counted."""

    times: Int = 2
    """A factor."""


class ToyKeys(Section):
    """What `toy` depends on."""

    toy: ToyParams
    seed: Seed
'''

THREE_FILES = {
    "stages/toy.py": STAGE,
    "stages/dag/declared/toy.py": DECLARATION,
    "stages/parameters/toy.py": PARAMETERS,
}


def done(project: Project, *words: str) -> str:
    ended = project.pipeline(*words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def refused(project: Project, *words: str) -> str:
    ended = project.pipeline(*words)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stdout + ended.stderr
    return ended.stderr


def epoch_file(project: Project, epoch: int, name: str) -> bytes:
    return project.run_path(f"epochs/{epoch:04d}/{name}").read_bytes()


@pytest.fixture(scope="module")
def grown(one_epoch, tmp_path_factory) -> Project:
    """One epoch is recorded without the stage, another is made with it."""
    project = copied(one_epoch, tmp_path_factory.mktemp("grown"))
    for name, content in THREE_FILES.items():
        project.path(name).write_text(content)
    before = epoch_file(project, 1, "dvc.yaml")
    done(project, "plan", "--epochs", "2")
    assert epoch_file(project, 1, "dvc.yaml") == before
    assert "toy" in yaml.safe_load(epoch_file(project, 2, "dvc.yaml"))["stages"]
    told = done(project, "run")
    assert re.search(r"\b15 stages run\b", told), (
        "resolve, seven of epoch 2, three of final, weights, export, figures, tables: " + told
    )
    return project


def test_a_new_stage_runs_in_new_epochs_and_recorded_ones_stay(grown):
    used = json.loads(epoch_file(grown, 2, "clustering.json"))["used"]
    assert json.loads(epoch_file(grown, 2, "toy.json")) == {"clusters": 2 * used, "seed": 0}
    assert not grown.run_path("epochs/0001/toy.json").exists()
    assert "toy: {times: 2}" in grown.path("params.yaml").read_text(), "its section can be found and edited"
    assert "all 25 stages are done" in done(grown, "status")
    assert "nothing to do" in done(grown, "run")
    assert "0 differ" in done(grown, "verify")
    assert dvc_status(grown) == set()
    assert stages_run(grown).count("2:toy") == 1


def test_dvc_repro_follows_an_edit_of_a_new_stages_key(grown, tmp_path):
    project = copied(grown, tmp_path)
    project.edit({"toy": {"times": 5}})
    assert repro(project, "data/runs/demo/dvc.yaml") == {":resolve": 1, "2:toy": 1, ":export": 1}
    used = json.loads(epoch_file(project, 2, "clustering.json"))["used"]
    assert json.loads(epoch_file(project, 2, "toy.json"))["clusters"] == 5 * used
    assert "nothing to do" in done(project, "run")


def test_rerun_knows_a_new_stage_where_it_stands(grown, tmp_path):
    project = copied(grown, tmp_path)
    assert "0002:toy is made again" in done(project, "rerun", "toy", "--epoch", "2")
    assert "has no stage toy in epoch 1" in refused(project, "rerun", "toy", "--epoch", "1")
    assert "toy" in project.pipeline("rerun", "--help").stdout


def test_a_key_of_a_new_stage_reaches_it_alone(grown, tmp_path):
    project = copied(grown, tmp_path)
    told = refused(project, "run", "--set", "toy.times=3")
    assert "0002:toy (toy.times changed)" in told and "--yes" in told
    before = stages_run(project)
    done(project, "run", "--set", "toy.times=3", "--yes")
    assert set(since(project, before)) == {":resolve", "2:toy", ":export"}
    used = json.loads(epoch_file(project, 2, "clustering.json"))["used"]
    assert json.loads(epoch_file(project, 2, "toy.json"))["clusters"] == 3 * used


def add_keys(project: Project) -> None:
    """A key of the network's section, which most stages depend on, and one of training."""
    for name, last, key in (
        ("model", '"""Factor on the number of channels of each layer (1 in the paper)."""', "extra: Int = 0"),
        (
            "train",
            '"""Epochs until a cosine schedule ends at zero; null where it is constant."""',
            "smooth: Float = 0.0",
        ),
    ):
        path = project.path(f"stages/parameters/{name}.py")
        text = path.read_text()
        assert last in text
        path.write_text(text.replace(last, f'{last}\n    {key}\n    """New."""'))


def test_a_new_key_at_its_default_leaves_a_recorded_run_up_to_date(one_epoch, tmp_path):
    project = copied(one_epoch, tmp_path)
    before = project.tree()
    add_keys(project)
    assert "are done" in done(project, "status")
    assert "nothing to do" in done(project, "run")
    assert dvc_status(project) == set()
    assert not repro(project, "data/runs/demo/dvc.yaml")
    assert project.tree() == before
    # New epochs follow it; recorded ones, final/ and export keep what they were recorded with, or are made again.
    done(project, "run", "--epochs", "2")
    stages = yaml.safe_load(epoch_file(project, 2, "dvc.yaml"))["stages"]
    assert "model.extra" in stages["extract"]["params"][0]["../../params.yaml"]
    assert "train.smooth" in stages["train"]["params"][0]["../../params.yaml"]
    assert b"smooth" not in epoch_file(project, 1, "dvc.yaml")
    assert "are done" in done(project, "status") and dvc_status(project) == set()


@pytest.mark.parametrize("key", ["train.smooth", "model.extra"])
def test_another_value_of_a_new_key_is_refused_or_recomputed_and_never_ignored(one_epoch, tmp_path, key):
    project = copied(one_epoch, tmp_path)
    add_keys(project)
    told = refused(project, "run", "--set", f"{key}=1")
    assert f"({key} changed)" in told and "--yes" in told and "branch" in told
    section, name = key.split(".")
    project.edit({section: {name: 1}})
    stopped = project.command("dvc", "repro", "data/runs/demo/dvc.yaml")
    assert stopped.returncode != 0
    assert f"{key}: epoch 1 of run demo was planned before there was such a key" in stopped.stderr
    before = stages_run(project)
    done(project, "run", "--yes")
    assert "1:train" in since(project, before)
    assert name.encode() in epoch_file(project, 1, "dvc.yaml")
    assert "are done" in done(project, "status") and dvc_status(project) == set()
