"""The device that a run asks for."""

from __future__ import annotations

import torch

from stages.errors import Refusal


def device_of(name: str) -> torch.device:
    """The torch device of that name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        Refusal: this machine does not have it.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal(f"device: {name}: this machine has no CUDA device that torch can use; --set device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise Refusal(f"device: {name}: this machine has cuda:0 to cuda:{last}; --set device=cuda:{last}")
    if device.type == "cuda":
        try:
            torch.zeros(1, device=device) + 1
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            remedy = "free some of its memory" if isinstance(error, torch.OutOfMemoryError) else "--set device=cpu"
            raise Refusal(f"device: {name}: torch cannot use it ({reason}); {remedy}") from None
    return device
