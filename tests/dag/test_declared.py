"""stages/dag/declared/: which stages there are, their order, and the module of each."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import stages
from stages.dag.declared import declared, names, nothing_reads, of_epochs, of_runs
from stages.dag.names import CLUSTERING
from stages.dag.stage import Read, Stage, Write

FLOOR = Path(stages.__path__[0])
NO_STAGES = {"__init__", "errors", "words"}
"""Modules beside the stages that are none."""

DATA_SET = ["generate", "pack"]
SET = ["draw", "index", "proposals"]
START = ["resolve", "init"]
EPOCH = ["extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint"]
END = ["weights", "baseline", "export", "figures"]
EVALUATION = ["detection", "knn", "linear_probe", "mlp", "retrieval", "segmentation", "voc_classification"]
PROJECT = ["tables"]


def test_stages_are_in_the_order_of_computation():
    guards = {name for name, stage in declared().items() if stage.place == "guard"}
    assert guards == {"pruned", "unfinished"}
    assert [
        name for name in declared() if name not in guards
    ] == DATA_SET + SET + START + EPOCH + END + EVALUATION + PROJECT
    assert [stage.name for stage in of_epochs()] == EPOCH
    assert set(EPOCH) < {stage.name for stage in of_runs()} < set(declared())


def test_a_stage_comes_after_those_of_its_folder_that_it_reads_from():
    order = list(declared())
    readings = [
        (order.index(writer.name), order.index(reader.name))
        for writer in of_epochs()
        for reader in of_epochs()
        if {write.name for write in writer.writes.values()}
        & {read.name for read in reader.reads.values() if read.of in ("here", "anew")}
    ]
    assert len(readings) >= 5
    assert all(writer < reader for writer, reader in readings)


def test_every_output_of_an_epoch_is_read_and_a_new_one_need_not_be():
    assert not [stage.name for stage in of_epochs() if nothing_reads(stage)]
    assert nothing_reads(Stage("toy", "", "epoch", reads={"it": Read(CLUSTERING)}, writes={"toy": Write("toy.json")}))
    assert not nothing_reads(Stage("toy", "", "epoch", writes={"toy": Write("toy.json"), "it": Write(CLUSTERING)}))


@pytest.mark.parametrize("name", names())
def test_a_declared_stage_is_the_function_of_its_name_in_the_module_of_its_name(name):
    stage = declared()[name]
    assert stage.name == name
    assert stage.description and "\n" not in stage.description
    module = importlib.import_module(f"stages.{name}")
    assert getattr(module, name).__module__ == module.__name__
    if stage.revised:
        assert type(module.REVISION) is int and module.REVISION >= 1


def test_every_module_on_the_floor_of_the_stages_is_declared():
    assert {path.stem for path in FLOOR.glob("*.py")} - NO_STAGES == set(names()) == set(declared())


def loaded_by(code: str) -> set[str]:
    code += "; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_names_of_all_stages_cost_the_command_line_no_import():
    loaded = loaded_by("from stages.dag.declared import names; assert 'whiten' in names()")
    assert "stages.dag.declared" in loaded
    assert not {f"stages.dag.declared.{name}" for name in names()} & loaded
    assert not {"pydantic", "yaml", "numpy", "torch", "pandas", "dvc"} & loaded


def test_the_declarations_import_no_stage_and_nothing_that_computes():
    loaded = loaded_by("from stages.dag.declared import declared; assert 'whiten' in declared()")
    assert not {f"stages.{name}" for name in names()} & loaded
    assert not {"numpy", "torch", "pandas", "dvc", "faiss", "scipy", "zarr"} & loaded
