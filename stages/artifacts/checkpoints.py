"""checkpoint.pt: {"network": state of the backbone, "optimizer": state of its SGD}, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stages.errors import Refusal
from stages.method.networks import Backbone, fold, place
from stages.parameters.model import ModelParams


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


def for_features(model: ModelParams, path: Path, device: torch.device) -> Backbone:
    """The network of a checkpoint, ready to give features and no longer to be trained."""
    network = build(model)
    restore(network, load(path)["network"], path)
    return place(fold(network.eval()), device)


def restore(network: Backbone, state: dict[str, Any], path: Path) -> None:
    """Puts a checkpoint's weights into a network of the same shape."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} is of another network than params.yaml describes: {reason}") from None
