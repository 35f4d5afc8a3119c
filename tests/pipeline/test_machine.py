"""pipeline/machine.py: a linked data folder, a device that is not there, another number of threads."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pipeline_helpers import content_of
from projects import ROOT

from pipeline import machine
from pipeline.machine import refuse_device
from pipeline.preparing import Request, prepare
from stages.errors import Refusal
from stages.parameters.resolution import resolve_run


def test_a_linked_data_folder_is_refused_with_a_way_out(finished_copy, tmp_path):
    moved = tmp_path / "elsewhere"
    finished_copy.path("data").rename(moved)
    finished_copy.path("data").symlink_to(moved)
    with pytest.raises(Refusal, match=r"data is a link.*mount --bind"):
        prepare(finished_copy.root, Request("demo"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    content = content_of()
    content["device"] = "cuda"
    with pytest.raises(Refusal, match=r"device: cuda: .*--set device=cpu"):
        refuse_device(resolve_run(content, "demo"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_told_before_recorded_epochs_are_asked_about(finished_copy, cli):
    line = cli.refused(finished_copy.root, "run", "--set", "device=cuda")
    assert line.startswith("device: cuda: ") and "--yes" not in line
    # What another machine is going to compute can be planned.
    assert cli(finished_copy.root, "plan", "--set", "device=cuda", "--yes").status == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(("units", "told"), [(False, True), (True, False)])
def test_bf16_on_a_processor_without_units_for_it_is_told(monkeypatch, units, told):
    monkeypatch.setattr(machine, "multiplies_bf16", lambda: units)
    content = content_of()
    assert refuse_device(resolve_run(content, "demo")) is None
    line = refuse_device(resolve_run(content, "cifar"))
    assert (line is not None and "--set precision=float32" in line) is told


def test_another_number_of_threads_is_told_and_redoes_nothing(finished_copy):
    finished_copy.edit({"threads": 1})
    told = finished_copy.run()
    assert "threads: 1, and stages so far used 2" in told
    # resolve alone writes the number down.
    assert "1 stage run" in told


def test_what_is_refused_without_torch_does_not_wait_for_it():
    code = "import pipeline.preparing, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
