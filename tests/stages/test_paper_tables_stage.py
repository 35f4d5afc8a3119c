"""stages/tables.py: the root's stage writes the tables of the demo's and its baseline's results, and of no others."""

import json

import pandas as pd
from result_cases import knn, lay, probe, untrained
from stage_helpers import Stopping

from stages.artifacts.run_params import load_run_params, with_evaluations
from stages.dag.graph import root_nodes
from stages.runtime.job import run_job
from stages.runtime.runner import execute
from stages.tables import tables

PARAMS = {
    "datasets": {"demo-test": {"path": "data/images/demo-test/pictures", "size": 72, "generate": {"images": 20}}},
    "evaluations": {"knn": {"protocol": "knn", "train": "demo", "test": "demo-test"}},
    "runs": {"demo": {"evaluations": ["knn"]}},
}


def test_the_stage_writes_the_tables_of_both_runs(finished_copy):
    project = finished_copy
    project.edit(PARAMS)
    for content in (knn(), knn("demo-random", of=untrained()), knn("other"), probe()):
        lay(project.root, content)
    params = with_evaluations(project.root, load_run_params(project.run_path("")))
    (node,) = root_nodes(params)
    assert node.several["results"] == [
        "data/runs/demo/evaluations/knn/result.json",
        "data/runs/demo-random/evaluations/knn/result.json",
    ]
    execute(tables, run_job(project.root, node, params, Stopping()), params)
    folder = project.path("data/tables")
    frame = pd.read_csv(folder / "others.csv")
    assert frame["run"].unique().tolist() == ["demo", "demo-random"]
    written = json.loads(project.run_path("evaluations/knn/result.json").read_text())["numbers"]["top1"]
    assert frame[frame["run"] == "demo"]["value"].tolist() == list(written.values())
    # What the run does not name is not read, though it lies there.
    assert set(pd.read_csv(folder / "table1.csv")["run"]) == {"quoted"}
    assert (folder / "tables.html").exists()
