"""Features of pictures by a network (section 3.2)."""

from __future__ import annotations

import numpy as np
import torch

from stages.errors import Refusal
from stages.method.networks import Backbone, autocast


def embed(network: Backbone, pictures: np.ndarray, precision: str) -> np.ndarray:
    """(B, H, W, 3) uint8 to (B, d) float32 features, on the device of the network."""
    device = next(network.parameters()).device
    # A view of NHWC memory as NCHW is what channels_last means: no pixel is moved.
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
    with torch.inference_mode(), autocast(device, precision):
        return network.features(batch).float().cpu().numpy()


def check_features(features: np.ndarray, dtype: str) -> np.ndarray:
    """`features` in `dtype`; refused where they are not finite or do not fit."""
    if not np.isfinite(features).all():
        raise Refusal(
            "the network gives features that are not finite: training diverged; lower train.lr, or "
            "`python -m pipeline branch` from an earlier epoch"
        )
    if dtype == "float16" and np.abs(features).max() > np.finfo(np.float16).max:
        raise Refusal("extract.dtype: features overflow float16; --set extract.dtype=float32")
    return features.astype(dtype, copy=False)
