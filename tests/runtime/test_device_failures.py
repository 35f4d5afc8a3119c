"""stages/runtime/devices.py: what a device lacks or suffers is told in one line, and nothing is lost."""

import pytest
import torch
from stage_helpers import Stopping, epoch, files, refused, run_one

from stages import train as train_module
from stages.errors import Refusal
from stages.runtime import save_points
from stages.runtime.device_failures import device_failures
from stages.runtime.devices import device_of

LOST = "CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA to enable device-side assertions."


@pytest.mark.parametrize(
    ("stage", "evaluation", "remedy"),
    [
        ("extract", None, "--set device_memory=0, or lower extract.batch"),
        ("train", None, "--set device_memory=0, or lower train.batch"),
        ("whiten", None, "lower extract.chunk_rows"),
        ("cluster", None, "free some of it"),
        ("linear_probe", "mine", "lower evaluations.mine.batch"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"),
    ],
)
def test_out_of_memory_names_the_keys_to_lower(stage, evaluation, remedy, error):
    with pytest.raises(Refusal) as told, device_failures(stage, evaluation):
        raise error
    assert str(told.value) == f"the device is out of memory: {remedy}, or --set device=cpu"


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

    def step_fails():
        raise torch.AcceleratorError(LOST)

    def failing(*words):
        taken.append(1)
        if len(taken) == 4:
            step_fails()
        return step(*words)

    monkeypatch.setattr(train_module, "train_step", failing)
    # A device that has failed fails again wherever it is asked, as when its memory is given back.
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: bool(taken))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: step_fails() if len(taken) == 4 else None)
    line = refused(lambda: run_one(finished_copy, "train"))
    assert "the device failed (CUDA error: unspecified launch failure); nothing was published" in line
    assert not epoch(finished_copy, "trained").exists()
    assert "goes on at iteration 2 of 6" in run_one(finished_copy, "train", report=Stopping())
    assert files(epoch(finished_copy, "trained")) == before
