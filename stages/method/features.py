"""Features of pictures by a network (f_theta of section 3.1), which section 3.2 clusters."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stages.errors import Refusal
from stages.method.networks import Backbone, autocast
from stages.method.views import Recolour


def embed(network: Backbone, pictures: np.ndarray, precision: str, recolour: Recolour | None = None) -> np.ndarray:
    """(B, d) float32 features of (B, H, W, 3) uint8 pictures, computed on the device of the network.

    Args:
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
        recolour: how their colours change before; None: not.
    """
    device = next(network.parameters()).device
    # The layout channels_last is NCHW by shape and NHWC in memory, so this moves no pixel.
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
    if recolour is not None:
        batch = recolour(batch)
    with torch.inference_mode(), autocast(device, precision):
        return network.features(batch).float().cpu().numpy()


def embed_views(network: Backbone, views: NDArray[np.uint8], precision: str) -> np.ndarray:
    """(B, d) float32 features of (V, B, H, W, 3) uint8 views of B pictures, each the mean over its views.

    With a projection the mean has unit length, as the features of one view have.
    """
    first, *others = (embed(network, pictures, precision) for pictures in views)
    if not others:
        return first
    mean = np.mean([first, *others], axis=0)
    if network.projection is not None:
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return mean


def check_features(features: np.ndarray, dtype: str) -> np.ndarray:
    """`features` converted to `dtype`, float32 or float16.

    Raises:
        Refusal: a value is not finite, or overflows float16.
    """
    if not np.isfinite(features).all():
        raise Refusal(
            "the network gives features that are not finite: training diverged; lower train.lr, or "
            "`python -m pipeline branch` from an earlier epoch"
        )
    if dtype == "float16" and np.abs(features).max() > np.finfo(np.float16).max:
        raise Refusal("extract.dtype: features overflow float16; --set extract.dtype=float32")
    return features.astype(dtype, copy=False)
