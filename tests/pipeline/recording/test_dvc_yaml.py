"""pipeline/recording/dvc_yaml.py: what stands in the generated dvc.yaml files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline_helpers import content_of, params_of, planned_files
from projects import clone_git

from pipeline.recording.dvc_yaml import (
    dataset_yaml,
    epoch_yaml,
    evaluation_yaml,
    final_yaml,
    run_yaml,
    set_yaml,
    stage_entry,
)
from pipeline.recording.inspector import project_nodes
from pipeline.recording.recorder import Recorder
from stages.dag.data import datasets, evaluation_sets
from stages.dag.epochs import own_epochs
from stages.dag.graph import BASELINE, evaluation_nodes, root_nodes
from stages.dag.revisions import revisions
from stages.errors import Refusal
from stages.parameters.resolution import NOT_OVERRIDDEN, resolve_run
from stages.parameters.run import RunParams, root_sections


def asked(content: dict[str, Any]) -> RunParams | None:
    """The demo's parameters, if they can be resolved."""
    with contextlib.suppress(Refusal):
        return resolve_run(content, "demo", revisions())
    return None


def test_the_committed_plan_equals_the_generated_one():
    params = asked(content_of())
    assert params is not None
    if asked(yaml.safe_load(clone_git("show", ":params.yaml"))) != params:
        pytest.skip("params.yaml asks for another demo than tests/helpers/params.yaml, and may not be planned yet")
    tracked = clone_git("ls-files", "data").splitlines()
    if any(name.endswith("/dvc.lock") for name in tracked):
        pytest.skip("the demo has been run here: its plan is that of its epochs")
    committed = {name: clone_git("show", f":{name}") for name in tracked}
    generated: dict[str, str] = {}
    for one in (params, resolve_run(content_of(), BASELINE, revisions())):
        for dataset in datasets(one):
            generated |= dataset_yaml(dataset)
        for entry in evaluation_sets(one):
            generated |= set_yaml(entry)
        generated |= run_yaml(one) | final_yaml(one)
        for epoch in own_epochs(one):
            generated |= epoch_yaml(one, epoch)
        for node in evaluation_nodes(one):
            generated |= evaluation_yaml(node)
    assert sorted(committed) == sorted(generated)
    assert committed == generated
    (tables,) = root_nodes(params)
    assert yaml.safe_load(clone_git("show", ":dvc.yaml"))["stages"] == {"tables": stage_entry(tables)}


def test_every_section_of_params_yaml_that_a_result_depends_on_is_resolved():
    content = content_of()
    assert set(root_sections()) == set(content) - {*NOT_OVERRIDDEN, "retain"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"cluster": {"every": 2}, "epochs": 3},
        {"epochs": 0},
        {"cluster": {"method": "pic"}},
        {"model": {"architecture": "resnet18", "input": 32}},
    ],
    ids=["demo", "every", "random", "pic", "resnet"],
)
def test_dvc_parses_every_planned_stage_and_knows_no_other(make_project, change):
    project = make_project(change=change)
    recorder = Recorder(project.root)
    stages = {f"{Path(stage.path_in_repo).parent.as_posix()}:{stage.name}" for stage in recorder.repo.index.stages}
    outs = {out.fspath for stage in recorder.repo.index.stages for out in stage.outs}
    recorder.close()
    nodes = project_nodes(params_of(project.root))
    assert stages == {node.id for node in nodes}
    ours = {str(project.path(out.path)) for node in nodes for out in node.outs.values()}
    assert outs == ours


def test_what_is_large_stays_out_of_dvcs_cache_and_params_persist(make_project):
    project = make_project()
    for name, text in planned_files(project.root).items():
        for stage, entry in yaml.safe_load(text)["stages"].items():
            uncached = {
                next(iter(out)): next(iter(out.values())) for out in entry.get("outs", []) if isinstance(out, dict)
            }
            cached = {out for out in entry.get("outs", []) if isinstance(out, str)} | set(entry.get("metrics", []))
            large = {"features.zarr", "whitened.zarr", "trained", "checkpoint.pt", "pixels.zarr", "pictures"}
            assert {Path(out).name for out in cached}.isdisjoint(large | {"model.safetensors", "params.yaml"}), name
            assert all(flags["cache"] is False for flags in uncached.values()), name
            # Packed pictures and first weights stay until their successor is whole: their source may be gone.
            assert (stage in ("resolve", "pack", "init")) == any(flags.get("persist") for flags in uncached.values())


def test_an_epoch_without_reclustering_trains_on_the_last_pseudolabels(make_project):
    project = make_project(change={"cluster": {"every": 2}, "epochs": 3})
    second = yaml.safe_load(project.run_path("epochs/0002/dvc.yaml").read_text())["stages"]
    assert list(second) == ["train", "checkpoint"]
    assert "../0001/pseudolabels.parquet" in second["train"]["deps"]
    third = yaml.safe_load(project.run_path("epochs/0003/dvc.yaml").read_text())["stages"]
    assert "../0001/assignments.parquet" in third["cluster"]["deps"]
