"""stages/runtime/job.py: the random state, the parameters and the fingerprint that a stage has."""

import os
import re

import torch
from runner_helpers import EPOCH, job, run, writing
from stage_helpers import RUN, Stopping, change

from stages.artifacts.run_params import load_run_params
from stages.dag.graph import run_nodes
from stages.runtime.job import run_job


def state_of(project, stage, where=EPOCH):
    return job(project, stage, where).rng.integers(2**63), job(project, stage, where).torch_seed


def test_the_random_state_is_a_function_of_seed_epoch_and_stage(finished_copy):
    project = finished_copy
    first = state_of(project, "train")
    assert state_of(project, "train") == first
    others = [state_of(project, "train", "epochs/0002"), state_of(project, "cluster"), state_of(project, "pseudolabel")]
    change(project, {"seed": 1})
    others.append(state_of(project, "train"))
    assert len({first, *others}) == 5


def test_a_stage_has_its_own_torch_state_and_leaves_the_callers_as_it_was(finished_copy):
    drawn = []

    def stage(job):
        drawn.append((torch.rand(3).tolist(), job.rng.random(3).tolist()))
        writing()(job)

    for seed in (1, 2):
        torch.manual_seed(seed)
        run(finished_copy, stage)
        after = torch.rand(1).item()
        torch.manual_seed(seed)
        assert torch.rand(1).item() == after
    assert drawn[0] == drawn[1]


def test_a_parameter_that_a_stage_does_not_declare_cannot_be_read(finished):
    seen = job(finished, "whiten").params
    assert seen.whiten.dim == 32
    for key in ("train", "seed", "model", "cluster"):
        assert not hasattr(seen, key)
    seen = job(finished, "cluster").params
    assert seen.cluster.k == 10
    assert not hasattr(seen.cluster, "every")


def test_every_declared_parameter_exists(finished):
    params = load_run_params(finished.root / RUN)
    for node in run_nodes(params):
        if node.stage != "resolve":
            run_job(finished.root, node, params, Stopping())


def test_the_fingerprint_follows_declared_parameters_inputs_and_revision_alone(finished_copy, monkeypatch):
    project = finished_copy
    first = job(project).fingerprint()
    assert job(project).fingerprint() == first
    change(project, {"train": {"lr": 0.7}})
    assert job(project).fingerprint() == first
    change(project, {"pseudolabel": {"permuted": True}})
    second = job(project).fingerprint()
    source = project.root / RUN / EPOCH / "assignments.parquet"
    os.utime(source, ns=(1, 1))
    third = job(project).fingerprint()
    params = project.root / RUN / "params.yaml"
    params.write_text(re.sub(r"(\n  pseudolabel): \d+", r"\1: 99", params.read_text()))
    assert len({first, second, third, job(project).fingerprint()}) == 4


def test_the_fingerprint_follows_a_file_inside_a_folder(finished_copy):
    project = finished_copy
    first = job(project, "whiten").fingerprint()
    os.utime(project.root / RUN / EPOCH / "features.zarr/c.1.0", ns=(1, 1))
    assert job(project, "whiten").fingerprint() != first
