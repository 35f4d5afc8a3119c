"""Features of pictures by a network (f_theta of section 3.1), which section 3.2 clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from stages.errors import Refusal
from stages.method.networks import Backbone, autocast


def embed(network: Backbone, views: Sequence[Tensor], precision: str) -> Tensor:
    """(B, d) float32 features of B pictures, each the mean over its views, on the device of the network.

    With a projection the mean has unit length, as the features of one view have.

    Args:
        views: of all pictures, each (B, 3, H, W) uint8, on that device.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
    """
    with torch.inference_mode(), autocast(views[0].device, precision):
        found = [network.features(pictures).float() for pictures in views]
        if len(found) == 1:
            return found[0]
        mean = torch.stack(found).mean(0)
        return mean if network.projection is None else normalize(mean)


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
