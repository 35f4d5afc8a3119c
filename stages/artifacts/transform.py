"""pca.npz: the PCA and whitening that was fitted to the features of an epoch, and that new images go through too."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from stages.artifacts.arrays import write_npz
from stages.artifacts.remedies import maker
from stages.errors import Refusal
from stages.method.whitening import PCAWhitening


def save(path: Path, pca: PCAWhitening) -> None:
    """Writes a pca.npz, an array for each attribute of `PCAWhitening`.

    Raises:
        OutOfSpace: the disk is full.
    """
    write_npz(
        path,
        mean=pca.mean,
        components=pca.components,
        eigenvalues=pca.eigenvalues,
        total_variance=np.float64(pca.total_variance),
        dim=np.int64(pca.dim),
    )


def read(path: Path) -> PCAWhitening:
    """The transform in a pca.npz.

    Raises:
        Refusal: the file is missing or cannot be read.
    """
    try:
        # Opened here, because numpy does not close a file that turns out to be damaged.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return PCAWhitening(
                file["mean"],
                file["components"],
                file["eigenvalues"],
                float(file["total_variance"]),
                int(file["dim"]),
            )
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {maker(path)}") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise Refusal(f"{path} cannot be read as a transform ({error}); {maker(path)}") from None
