"""stages/runtime/runner.py: arithmetic follows the precision that a stage depends on, and no other's."""

from types import SimpleNamespace

import pytest
import torch

from stages.runtime.runner import _environment
from stages.runtime.threads import float_modes


@pytest.mark.parametrize(
    ("params", "tf32"), [({"precision": "tf32"}, True), ({"precision": "bf16"}, False), ({}, False)]
)
def test_a_stage_without_a_precision_computes_in_float32(params, tf32):
    job = SimpleNamespace(params=SimpleNamespace(**params), torch_seed=1, node=SimpleNamespace(stage="train"))
    float_modes("float32" if tf32 else "tf32")
    try:
        with _environment(job, SimpleNamespace(threads=1, workers=1, device_memory=0.5, precision="tf32")):
            assert torch.backends.cuda.matmul.allow_tf32 is tf32
            assert torch.backends.cudnn.allow_tf32 is tf32
    finally:
        float_modes("float32")
