"""The generated dvc.yaml files, and which stages each parameter and each REVISION reaches."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline_helpers import changed, content_of, node_of, params_of, states_of
from projects import ROOT, committed_params

from pipeline.plan import plan as plan_command
from pipeline.preparing import Request
from pipeline.recording import inspector as status
from pipeline.recording.dvc_yaml import RESOLVED_SECTIONS, dataset_yaml, epoch_yaml, final_yaml, run_yaml
from pipeline.recording.inspector import project_nodes
from pipeline.recording.planning import write_run
from pipeline.recording.recorder import Recorder
from stages.dag import nodes
from stages.dag.epochs import own_epochs
from stages.dag.nodes import REVISED_STAGES
from stages.dag.revisions import revision_of, revisions
from stages.errors import Refusal
from stages.parameters.resolution import known_keys, resolve
from stages.runtime import job
from stages.runtime.job import run_job
from stages.runtime.report import Reporter
from stages.runtime.runner import execute

# ---------------------------------------------------------------- the committed plan


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_the_committed_plan_equals_the_generated_one():
    # As git has them, parameters included: a user who plans more epochs in a clone breaks no test.
    params = resolve(yaml.safe_load(git("show", ":params.yaml")), "demo", revisions())
    tracked = [name for name in git("ls-files", "data").splitlines() if name.endswith("/dvc.yaml")]
    committed = {name: git("show", f":{name}") for name in tracked}
    generated = dataset_yaml(params.dataset) | run_yaml(params) | final_yaml(params)
    for epoch in own_epochs(params):
        generated |= epoch_yaml(params, epoch)
    assert sorted(committed) == sorted(generated)
    assert committed == generated


# ---------------------------------------------------------------- what each parameter reaches

EVERY_EPOCH = ("0001", "0002", "final")
TRAINED = ("0001", "0002")


def reaching(stage: str, *folders: str) -> set[str]:
    return {f"data/runs/demo/epochs/{name}:{stage}".replace("epochs/final", "final") for name in folders}


EXTRACT = reaching("extract", *EVERY_EPOCH)
WHITEN = reaching("whiten", *EVERY_EPOCH)
CLUSTER = reaching("cluster", *EVERY_EPOCH)
PSEUDOLABEL = reaching("pseudolabel", *TRAINED)
TRAIN = reaching("train", *TRAINED)
CHECKPOINT = reaching("checkpoint", *TRAINED)
INIT = {"data/runs/demo:init"}
EXPORT = {"data/runs/demo:export"}
MODEL = INIT | EXTRACT | TRAIN | CHECKPOINT | EXPORT
NONE: set[str] = set()

REACHES: dict[str, tuple[Any, set[str]]] = {
    # seed goes wherever anything is drawn
    "seed": (1, INIT | CLUSTER | PSEUDOLABEL | TRAIN),
    "device": ("cuda", EXTRACT | CLUSTER | TRAIN),
    "precision": ("bf16", EXTRACT | TRAIN),
    # a larger machine or a longer run changes no result there is
    "epochs": (3, NONE),
    "threads": (1, NONE),
    "workers": (0, NONE),
    "model.architecture": ("vgg16", MODEL),
    "model.sobel": (False, MODEL),
    "model.input": (70, MODEL),
    "model.width": (0.125, MODEL),
    "extract.batch": (16, EXTRACT),
    "extract.dtype": ("float16", EXTRACT),
    "extract.chunk_rows": (32, EXTRACT),
    "whiten.dim": (16, WHITEN),
    "cluster.method": ("labels", CLUSTER),
    "cluster.k": (5, CLUSTER),
    "cluster.iterations": (3, CLUSTER),
    # a change of structure, which planning refuses for epochs that are recorded
    "cluster.every": (2, NONE),
    # what is kept changes no result
    "retain.last": (1, NONE),
    "retain.every": (3, NONE),
    # without effect under k-means and a constant schedule
    "cluster.pic.neighbours": (7, NONE),
    "cluster.pic.sigma": (0.3, NONE),
    "cluster.pic.alpha": (0.01, NONE),
    "cluster.pic.iterations": (10, NONE),
    "train.horizon": (40, NONE),
    "pseudolabel.permuted": (True, PSEUDOLABEL),
    "train.batch": (16, TRAIN),
    "train.lr": (0.1, TRAIN),
    "train.momentum": (0.8, TRAIN),
    "train.weight_decay": (1e-4, TRAIN),
    "train.dropout": (0.4, TRAIN),
    "train.passes": (2, TRAIN),
    "train.sampling": ("released-code", TRAIN),
    "train.schedule": ("cosine", TRAIN),
}
"""Key: a new value, and the stages that must run again for it. Written by hand from section 3 of the paper."""


def leaves(section: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in section.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def test_the_table_holds_every_key_of_params_yaml(finished):
    content = content_of(finished.root)
    own = leaves({key: value for key, value in content.items() if key not in ("runs", "datasets", "dataset")})
    assert own == set(REACHES)
    of_a_run = {key for key in known_keys() if not key.startswith("dataset.")} - {"branch"}
    assert of_a_run == set(REACHES)


def stale(root: Path, content: dict[str, Any], revision: dict[str, int] | None = None) -> set[str]:
    """Stages that are out of date by themselves when params.yaml holds `content`, besides resolve."""
    nodes = project_nodes(params_of(root))
    states = states_of(root, resolve(content, "demo", revision or revisions()), nodes)
    return {name for name, (state, _) in states.items() if state != "done"} - {"data/runs/demo:resolve"}


def test_an_unchanged_params_yaml_reaches_no_stage(finished):
    params = params_of(finished.root)
    assert {state for state, _ in states_of(finished.root, params).values()} == {"done"}


@pytest.mark.parametrize("key", REACHES)
def test_a_parameter_reaches_the_stages_that_it_should_and_no_other(finished, key):
    value, expected = REACHES[key]
    content = content_of(finished.root)
    if key == "train.schedule":
        content = changed(content, "train.horizon", 30)
    assert stale(finished.root, changed(content, key, value)) == expected


PIC_KEYS = [key for key in REACHES if key.startswith("cluster.pic.")]


@pytest.mark.parametrize("key", PIC_KEYS)
def test_keys_of_pic_reach_cluster_when_the_method_is_pic(finished, key):
    content = changed(content_of(finished.root), "cluster.method", "pic")
    before = resolve(content, "demo", revisions())
    after = resolve(changed(content, key, REACHES[key][0]), "demo", revisions())
    assert differing(before, after) == {"cluster"}


@pytest.mark.parametrize("key", ["cluster.k", "cluster.iterations"])
def test_keys_of_kmeans_reach_nothing_when_the_method_is_pic(finished, key):
    content = changed(content_of(finished.root), "cluster.method", "pic")
    before = resolve(content, "demo", revisions())
    after = resolve(changed(content, key, REACHES[key][0]), "demo", revisions())
    assert differing(before, after) == set()


def test_the_horizon_reaches_train_when_the_schedule_is_cosine(finished):
    content = changed(content_of(finished.root), "train.schedule", "cosine")
    before = resolve(content, "demo", revisions())
    assert differing(before, resolve(changed(content, "train.horizon", 31), "demo", revisions())) == {"train"}


def differing(before: Any, after: Any) -> set[str]:
    """Stages whose view of the parameters differs between two resolved runs."""
    return {
        stage
        for stage, keys in nodes.PARAMS.items()
        if vars_of(job.view(before, keys)) != vars_of(job.view(after, keys))
    }


def vars_of(value: Any) -> Any:
    return {key: vars_of(inner) for key, inner in vars(value).items()} if hasattr(value, "__dict__") else value


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("path", "data/images/demo/./pictures", {"pack"}),
        ("size", 80, {"pack"}),
        ("labels", False, {"pack"}),
        ("chunk_mib", 2, {"pack"}),
        ("generate.images", 180, {"generate", "pack"}),
        ("generate.seed", 1, {"generate", "pack"}),
    ],
)
def test_a_key_of_a_data_set_reaches_its_own_stages(finished_copy, key, value, expected):
    content = changed(content_of(finished_copy.root), f"datasets.demo.{key}", value)
    finished_copy.path("params.yaml").write_text(yaml.safe_dump(content))
    names = {f"data/images/demo:{stage}" for stage in expected}
    assert stale(finished_copy.root, content) == names


def test_another_data_set_is_a_new_input_of_what_reads_pictures(finished):
    content = content_of(finished.root)
    content["datasets"]["other"] = content["datasets"]["demo"] | {"size": 80}
    params = resolve(changed(content, "dataset", "other"), "demo", revisions())
    states = states_of(finished.root, params)
    ours = {name for name, (state, _) in states.items() if state != "done" and "runs/demo/" in name}
    assert ours == EXTRACT | CLUSTER | TRAIN


def test_another_runs_override_reaches_no_stage(finished):
    content = content_of(finished.root)
    content["runs"]["yfcc-alexnet"] = {"epochs": 7, "train": {"lr": 1.0}}
    states = states_of(finished.root, resolve(content, "demo", revisions()))
    assert {state for state, _ in states.values()} == {"done"}


ALONE = {
    "init": INIT,
    "extract": EXTRACT,
    "whiten": WHITEN,
    "cluster": CLUSTER,
    "pseudolabel": PSEUDOLABEL,
    "train": TRAIN,
    "checkpoint": CHECKPOINT,
    "export": EXPORT,
}


def test_every_stage_of_a_run_has_a_revision():
    assert set(REVISED_STAGES) == set(ALONE)


@pytest.mark.parametrize("stage", ALONE)
def test_a_raised_revision_reaches_its_stage_alone(finished, stage):
    raised = revisions() | {stage: revisions()[stage] + 1}
    assert stale(finished.root, content_of(finished.root), raised) == ALONE[stage]


@pytest.mark.parametrize("stage", ["generate", "pack"])
def test_a_raised_revision_of_a_data_sets_stage_reaches_it_alone(finished, stage, monkeypatch):
    monkeypatch.setattr(status, "revision_of", lambda name: revision_of(name) + (name == stage))
    assert stale(finished.root, content_of(finished.root), revisions()) == {f"data/images/demo:{stage}"}


def test_dvc_sees_a_raised_revision_and_no_edited_docstring(finished_copy):
    recorder = Recorder(finished_copy.root)
    resolve_node = node_of(params_of(finished_copy.root), "demo:resolve")
    module = finished_copy.path("stages/train.py")
    source = module.read_text()
    module.write_text(source.replace('"""', '"""Edited. ', 1))
    docstring = recorder.changed(resolve_node)
    module.write_text(source.replace("REVISION = ", "REVISION = 1"))
    revision = recorder.changed(resolve_node)
    recorder.close()
    assert (docstring, revision) == (False, True)


def test_every_section_of_params_yaml_but_runs_datasets_and_retain_is_resolved():
    content = yaml.safe_load(committed_params())
    assert set(RESOLVED_SECTIONS) == set(content) - {"runs", "datasets", "retain"}


@pytest.mark.parametrize("stage", ["extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint"])
def test_a_stage_that_reads_an_undeclared_parameter_fails(finished_copy, stage):
    import importlib

    params = params_of(finished_copy.root)
    node = node_of(params, f"0001:{stage}")
    published = finished_copy.tree()
    for key in node.params:
        section = key.partition(".")[0]
        if section == "seed":
            # The runner's: it seeds `job.rng`, and no stage of an epoch reads it.
            continue
        fewer = tuple(other for other in node.params if other.partition(".")[0] != section)
        job = run_job(finished_copy.root, dataclasses.replace(node, params=fewer), params, quiet())
        with pytest.raises(AttributeError, match=section):
            execute(getattr(importlib.import_module(f"stages.{stage}"), stage), job, params)
    left = {name: content for name, content in finished_copy.tree().items() if ".partial-" not in name}
    assert left == published


def quiet() -> Reporter:
    import io

    return Reporter(stream=io.StringIO())


# ---------------------------------------------------------------- planning


def planned_files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted((root / "data").rglob("dvc.yaml"))}


def test_adding_epochs_writes_the_new_ones_final_and_the_runs_dvc_yaml_only(finished_copy):
    before = planned_files(finished_copy.root)
    finished_copy.edit({"epochs": 3})
    write_run(finished_copy.root, params_of(finished_copy.root))
    after = planned_files(finished_copy.root)
    differ = {name for name in before | after if before.get(name) != after.get(name)}
    run = "data/runs/demo"
    assert differ == {f"{run}/epochs/0003/dvc.yaml", f"{run}/final/dvc.yaml", f"{run}/dvc.yaml"}
    assert "../epochs/0003/checkpoint.pt" in after[f"{run}/final/dvc.yaml"]
    assert "epochs/0003/metrics.json" in after[f"{run}/dvc.yaml"]


def test_the_dvc_yaml_of_a_recorded_epoch_is_never_rewritten(finished_copy, monkeypatch):
    # A later version of the program that knows one more parameter must not recompute days.
    monkeypatch.setitem(nodes.PARAMS, "whiten", ("whiten", "workers"))
    before = planned_files(finished_copy.root)
    write_run(finished_copy.root, params_of(finished_copy.root))
    after = planned_files(finished_copy.root)
    differ = {name for name in before if before[name] != after[name]}
    assert differ == {"data/runs/demo/final/dvc.yaml"}


@pytest.mark.parametrize("left", [None, "", "stages: {}\n", "a: {}\n", "stages: [", "stages: {cluster: }\n"])
def test_a_dvc_yaml_that_is_missing_or_damaged_is_written_again(finished_copy, left):
    path = finished_copy.run_path("epochs/0001/dvc.yaml")
    before = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_text(left)
    assert "nothing to do" in finished_copy.run()
    assert path.read_bytes() == before


def test_an_epoch_that_is_not_recorded_follows_the_program(make_project, monkeypatch):
    project = make_project()
    monkeypatch.setitem(nodes.PARAMS, "whiten", ("whiten", "workers"))
    project.plan()
    text = project.run_path("epochs/0001/dvc.yaml").read_text()
    assert "workers" in yaml.safe_load(text)["stages"]["whiten"]["params"][0]["../../params.yaml"]


def test_fewer_epochs_than_recorded_is_refused_and_deletes_nothing(finished_copy):
    before = finished_copy.tree(), planned_files(finished_copy.root)
    with pytest.raises(Refusal, match=r"epochs: 1 is fewer than the 2 recorded.*nothing was deleted.*branch"):
        plan_command(finished_copy.root, Request("demo", epochs=1, yes=True), quiet())
    finished_copy.edit({"epochs": 1})
    with pytest.raises(Refusal, match="fewer"):
        write_run(finished_copy.root, params_of(finished_copy.root))
    assert (finished_copy.tree(), planned_files(finished_copy.root)) == before


def test_epochs_planned_and_never_begun_leave_the_plan_when_fewer_are_asked_for(make_project):
    project = make_project(change={"epochs": 4})
    project.edit({"epochs": 1})
    project.plan()
    assert [path.name for path in sorted(project.run_path("epochs").iterdir())] == ["0001"]


def test_another_cluster_every_is_refused_where_a_dvc_yaml_is_missing_too(finished_copy):
    finished_copy.run_path("epochs/0002/dvc.yaml").unlink()
    finished_copy.edit({"cluster": {"every": 2}})
    with pytest.raises(Refusal, match=r"cluster\.every: epoch 2 .* recorded with the stages .*branch"):
        finished_copy.run()


@pytest.mark.parametrize("yes", [False, True])
def test_another_cluster_every_on_recorded_epochs_is_refused(finished_copy, yes):
    before = finished_copy.tree(), finished_copy.path("params.yaml").read_text(), planned_files(finished_copy.root)
    with pytest.raises(Refusal, match=r"cluster\.every: epoch 2 .*branch --from demo@1") as refused:
        plan_command(finished_copy.root, Request("demo", sets=["cluster.every=2"], yes=yes), quiet())
    assert "\n" not in str(refused.value)
    after = finished_copy.tree(), finished_copy.path("params.yaml").read_text(), planned_files(finished_copy.root)
    assert after == before


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
    assert stages == {node.id for node in nodes} | {".:figures"}
    ours = {str(project.path(out.path)) for node in nodes for out in node.outs.values()}
    assert outs == ours | {str(project.path("data/figures"))}


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
            # Packed pictures stay until their successor is whole: their source may be gone.
            assert (stage in ("resolve", "pack")) == any(flags.get("persist") for flags in uncached.values())


def test_an_epoch_without_reclustering_trains_on_the_last_pseudolabels(make_project):
    project = make_project(change={"cluster": {"every": 2}, "epochs": 3})
    second = yaml.safe_load(project.run_path("epochs/0002/dvc.yaml").read_text())["stages"]
    assert list(second) == ["train", "checkpoint"]
    assert "../0001/pseudolabels.parquet" in second["train"]["deps"]
    third = yaml.safe_load(project.run_path("epochs/0003/dvc.yaml").read_text())["stages"]
    assert "../0001/assignments.parquet" in third["cluster"]["deps"]
