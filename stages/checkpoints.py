"""checkpoint.pt: {"network": state of the backbone, "optimizer": state of its SGD}, on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from stages.errors import Refusal
from stages.method.networks import Backbone, fold
from stages.params import ModelParams


def build(model: ModelParams, dropout: float = 0.5) -> Backbone:
    """The backbone that `model` describes, its weights not yet set."""
    return Backbone(model.architecture, sobel=model.sobel, input=model.input, width=model.width, dropout=dropout)


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; only tensors and plain containers are read from the file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; `python -m pipeline status` says which stage makes it") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} cannot be read as a checkpoint ({reason}); rerun the stage that makes it") from None
    if not isinstance(content, dict) or not {"network", "optimizer"} <= set(content):
        raise Refusal(f"{path} holds no network and optimizer; rerun the stage that makes it")
    return content


def placed(network: Backbone, device: torch.device) -> Backbone:
    """The network on `device`, its convolutions in channels_last, the faster layout on CPU and GPU."""
    moved: Backbone = network.to(device).to(memory_format=torch.channels_last)
    return moved


def for_features(model: ModelParams, path: Path, device: torch.device) -> Backbone:
    """The network of a checkpoint, ready to give features and no longer to be trained."""
    network = build(model)
    restore(network, load(path)["network"], path)
    return placed(fold(network.eval()), device)


def restore(network: Backbone, state: dict[str, Any], path: Path) -> None:
    """Puts a checkpoint's weights into a network of the same shape."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} is of another network than params.yaml describes: {reason}") from None


def device_of(name: str) -> torch.device:
    """The torch device, refused in one line where this machine lacks it."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refusal(f"device: {name}: this machine has no CUDA device that torch can use; --set device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise Refusal(f"device: {name}: this machine has cuda:0 to cuda:{last}; --set device=cuda:{last}")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 arithmetic where the run asks for it; weights stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
