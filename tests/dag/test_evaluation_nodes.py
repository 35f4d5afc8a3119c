"""stages/dag/graph.py and data.py: the nodes of evaluations, and of the data that they read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from params_helpers import BASE

from pipeline.recording.dvc_yaml import stage_entry
from stages.dag.data import data_nodes, datasets, evaluation_sets
from stages.dag.declared import declared
from stages.dag.graph import evaluation_nodes, final_nodes, keys_of, root_nodes, run_nodes
from stages.dag.names import PROPOSALS
from stages.dag.nodes import Node
from stages.parameters.protocols import protocols
from stages.parameters.resolution import resolve_run
from stages.parameters.run import RunParams

ENTRIES: dict[str, dict[str, Any]] = {
    "probe": {"protocol": "linear_probe", "train": "demo", "test": "demo-test"},
    "deep": {"protocol": "mlp", "train": "demo", "test": "demo-test"},
    "near": {"protocol": "knn", "train": "demo-test", "test": "demo"},
    "places": {"protocol": "retrieval", "test": "demo-oxford", "whiten": "demo-paris"},
}
VOC = {"train": {"set": "demo-voc", "split": "train"}, "test": {"set": "demo-voc", "split": "val"}, "layers": "all"}
ENTRIES |= {name: VOC | {"protocol": name} for name in ("voc_classification", "detection", "segmentation")}


def resolved(run: str = "demo", names: Any = tuple(ENTRIES)) -> RunParams:
    content = copy.deepcopy(BASE) | {"evaluations": ENTRIES}
    content["runs"] = {"demo": {"evaluations": list(names)}}
    content["runs"]["bare"] = {"epochs": 0, "dataset": None, "evaluations": list(names)}
    return resolve_run(content, run)


@pytest.fixture
def nodes() -> dict[str, Node]:
    return {node.folder.rpartition("/")[2]: node for node in evaluation_nodes(resolved())}


def test_every_protocol_is_a_stage_of_its_name():
    found = {name for name, stage in declared().items() if stage.place == "evaluation"}
    assert found == set(protocols()) == {entry["protocol"] for entry in ENTRIES.values()}


def test_an_evaluation_stands_in_a_folder_of_its_own_and_reads_the_weights_and_its_data(nodes):
    images, sets = "data/images", "data/evaluation"
    read = {
        "probe": {f"{images}/demo/pack.json", f"{images}/demo-test/pack.json"},
        "near": {f"{images}/demo/pack.json", f"{images}/demo-test/pack.json"},
        "places": {f"{sets}/demo-oxford/index.json", f"{sets}/demo-paris/index.json"},
        "segmentation": {f"{sets}/demo-voc/index.json"},
        "detection": {f"{sets}/demo-voc/index.json", f"{sets}/demo-voc/proposals.parquet"},
    }
    for name, files in read.items():
        node = nodes[name]
        assert (node.folder, node.run, node.epoch) == (f"data/runs/demo/evaluations/{name}", "demo", None)
        assert set(node.all_deps()) == files | {"data/runs/demo/model.safetensors"}
        assert {out.path for out in node.outs.values()} > {f"{node.folder}/result.json", f"{node.folder}/numbers.json"}
    assert nodes["near"].deps["train"] == f"{images}/demo-test/pack.json"


def test_it_follows_its_own_entry_the_runs_random_state_and_device_and_the_revision_of_its_module(nodes):
    for name, node in nodes.items():
        entry = stage_entry(node)
        root, own, module = entry["params"]
        assert root == {"../../../../../params.yaml": [f"evaluations.{name}"]}
        assert own == {"../../params.yaml": ["seed", "device", "precision"]}
        assert module == {f"../../../../../stages/{node.stage}.py": ["REVISION"]}
        assert entry["cmd"] == f"python -m stages.{node.stage} ."
        assert entry["metrics"] == ["numbers.json"] and "result.json" in entry["outs"]
        assert keys_of(node.stage) == ("seed", "device", "precision")


def test_data_that_several_evaluations_read_is_made_once_and_before_them():
    params = resolved()
    found = [node.id for node in data_nodes(params)]
    assert len(found) == len(set(found))
    assert found == [
        *(f"data/images/{name}:{stage}" for name in ("demo", "demo-test") for stage in ("generate", "pack")),
        *(f"data/evaluation/{name}:{stage}" for name in ("demo-oxford", "demo-paris") for stage in ("draw", "index")),
        *(f"data/evaluation/demo-voc:{stage}" for stage in ("draw", "index", "proposals")),
    ]
    made = {out.path for node in data_nodes(params) for out in node.outs.values()}
    read = {path for node in evaluation_nodes(params) for path in node.all_deps() if not path.startswith("data/runs")}
    assert read <= made


def test_proposals_are_made_for_detection_alone():
    stages = [node.id for node in data_nodes(resolved(names=["segmentation"])) if "demo-voc" in node.folder]
    assert stages == ["data/evaluation/demo-voc:draw", "data/evaluation/demo-voc:index"]


def test_a_run_without_evaluations_reads_its_own_pictures_alone():
    params = resolved(names=[])
    assert [node.stage for node in data_nodes(params)] == ["generate", "pack"]
    assert (evaluation_nodes(params), evaluation_sets(params)) == ([], [])
    assert [dataset.name for dataset in datasets(params)] == ["demo"]


def test_the_tables_read_the_results_of_both_runs_of_the_demo():
    (node,) = root_nodes(resolved())
    assert node.stage == "tables" and node.folder == "."
    expected = [
        f"data/runs/{run}/evaluations/{name}/result.json" for run in ("demo", "demo-random") for name in ENTRIES
    ]
    assert node.several["results"] == expected
    assert root_nodes(resolved("bare")) == []


def test_a_run_without_pictures_is_its_parameters_its_network_and_evaluations():
    params = resolved("bare")
    assert [node.stage for node in run_nodes(params)] == ["resolve", "init", "weights"]
    assert final_nodes(params) == []
    resolve = next(iter(run_nodes(params)))
    assert resolve.deps == {} and "runs.bare" in resolve.root_keys
    assert not any("dataset." in key or "datasets." in key for key in resolve.root_keys)
    assert {node.run for node in evaluation_nodes(params)} == {"bare"}
    assert "data/images/demo" in {node.folder for node in data_nodes(params)}


@pytest.mark.parametrize("name", protocols())
def test_a_protocol_says_of_itself_whether_its_stage_reads_proposals(name):
    reads = any(read.name == PROPOSALS for read in declared()[name].reads.values())
    assert protocols()[name].reads_proposals == reads
