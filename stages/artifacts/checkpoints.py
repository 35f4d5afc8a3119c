"""checkpoint.pt: {"network": state_dict of the backbone, "optimizer": state_dict of its SGD}, tensors on the CPU.

With `train.top_kept` also "top": state_dict of the top layer, for the next epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stages.artifacts.remedies import maker
from stages.errors import Refusal
from stages.method.networks import Backbone, fold, place
from stages.parameters.model import ModelParams


def build(model: ModelParams, dropout: float = 0.5, top_dropout: float = 0.0) -> Backbone:
    """The backbone that `model` describes; `restore` or `initialise` sets its weights."""
    hidden, dim = model.projection.hidden, model.projection.dim
    return Backbone(
        model.architecture,
        sobel=model.sobel,
        input=model.input,
        width=model.width,
        dropout=dropout,
        top_dropout=top_dropout,
        projection=None if hidden is None or dim is None else (hidden, dim),
    )


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint. The file can hold tensors and plain containers only, so reading it runs no code.

    Raises:
        Refusal: it is missing, damaged, or no checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} cannot be read as a checkpoint ({reason}); {maker(path)}") from None
    if not isinstance(content, dict) or not {"network", "optimizer"} <= set(content):
        raise Refusal(f"{path} holds no network and optimizer; {maker(path)}")
    return content


def for_features(model: ModelParams, path: Path, device: torch.device) -> Backbone:
    """The network of a checkpoint on `device`, for features alone: it can no longer be trained.

    Raises:
        Refusal: the checkpoint cannot be read, or is of another network than `model`.
    """
    network = build(model)
    restore(network, load(path)["network"], path)
    return place(fold(network.eval()), device)


def restore(network: Backbone, state: dict[str, Any], path: Path) -> None:
    """Puts a checkpoint's weights into a network.

    Args:
        state: the checkpoint's "network".
        path: where it comes from, for the refusal.

    Raises:
        Refusal: names or shapes of the weights differ from the network's.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} is of another network than params.yaml describes: {reason}") from None
