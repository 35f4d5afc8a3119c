"""What the tests of pipeline/results/ share: sizes of the finished run, and files read without the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import normalized_mutual_info_score

N, K, DIM, EPOCHS = 170, 10, 32, (1, 2)


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def nmi(a: Any, b: Any) -> float:
    return normalized_mutual_info_score(a, b, average_method="geometric")


def raw(finished, name: str) -> pd.DataFrame:
    return pd.read_parquet(finished.run_path(name))


def labels(finished) -> np.ndarray:
    return pd.read_parquet(finished.path("data/images/demo/manifest.parquet"))["label"].to_numpy()
