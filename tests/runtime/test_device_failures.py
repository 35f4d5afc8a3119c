"""stages/runtime/devices.py: what a device lacks or suffers is told in one line, and nothing is lost."""

import pytest
import torch
from stage_helpers import Stopping, epoch, files, refused, run_one

from stages import train as train_module
from stages.errors import Refusal
from stages.runtime import save_points
from stages.runtime.devices import device_failures, device_of

LOST = "CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA to enable device-side assertions."


@pytest.mark.parametrize(
    ("stage", "key"), [("extract", "extract.batch"), ("train", "train.batch"), ("linear_probe", "its batch")]
)
def test_out_of_memory_names_the_keys_to_lower(stage, key):
    with pytest.raises(Refusal) as told, device_failures(stage):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ...")
    assert f"device_memory=0, or lower {key}," in str(told.value)
    assert "\n" not in str(told.value)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2$"), device_failures("train"):
        raise RuntimeError("mat1 and mat2")


def test_a_device_that_is_there_and_cannot_be_used_is_refused(monkeypatch):
    def zeros(*_, **__):
        raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(Refusal) as told:
        device_of("cuda")
    assert "no kernel image is available for execution on the device); --set device=cpu" in str(told.value)
    with pytest.raises(Refusal, match="cuda:0 to cuda:0; --set device=cuda:0"):
        device_of("cuda:1")


def test_a_device_lost_in_the_middle_is_told_and_the_stage_goes_on_from_its_save_point(finished_copy, monkeypatch):
    before = files(epoch(finished_copy, "trained"))
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    step, taken = train_module.train_step, []

    def failing(*words):
        taken.append(1)
        if len(taken) == 4:
            raise torch.AcceleratorError(LOST)
        return step(*words)

    monkeypatch.setattr(train_module, "train_step", failing)
    line = refused(lambda: run_one(finished_copy, "train"))
    assert "the device failed (CUDA error: unspecified launch failure); nothing was published" in line
    assert not epoch(finished_copy, "trained").exists()
    assert "goes on at iteration 2 of 6" in run_one(finished_copy, "train", report=Stopping())
    assert files(epoch(finished_copy, "trained")) == before
