"""The network, PCA and centroids behind an epoch's clusters, to put other pictures through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.recording.recorded_files import refuse_other
from pipeline.results.epoch_files import Epoch, EpochFiles
from stages.artifacts.arrays import read_npy
from stages.artifacts.checkpoints import for_features
from stages.artifacts.transform import read as read_pca
from stages.dag.names import CENTROIDS, PCA
from stages.errors import Refusal
from stages.method.features import check_features, embed
from stages.method.kmeans import assign
from stages.method.sampling import batches
from stages.method.views import fixed_views
from stages.runtime.devices import device_of
from stages.runtime.report import Reporter
from stages.runtime.threads import float_modes, thread_limit


class Embedder:
    """Puts pictures through what gave an epoch its clusters, so that the run's own pictures land where they are.

    That is the network before the epoch, with the epoch's own PCA (if it whitens) and centroids; the last network for
    "final".

    Attributes:
        dim: length of a row that is clustered.

    Raises:
        Refusal: the epoch has no clustering, or the checkpoint of its network is pruned or not the recorded one.
    """

    def __init__(self, files: EpochFiles, epoch: Epoch, report: Reporter) -> None:
        self._params = files.params.at_the_end if epoch == "final" else files.params
        whitens = self._params.whitens
        centroids, network = files.clustered(epoch, CENTROIDS), files.network_of(epoch)
        pca = files.clustered(epoch, PCA) if whitens else None
        for path in (network, pca, centroids):
            if path is not None:
                refuse_other(path, files.run)
        self._network = for_features(self._params.model, network, _device(self._params.device, report))
        self._pca = None if pca is None else read_pca(pca)
        # Of several clusterings, the first is that of the view which is not random.
        self._centroids = read_npy(centroids) if whitens else read_npy(centroids)[0]
        self.dim: int = self._centroids.shape[1]
        float_modes(self._params.precision)

    def crop(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network sees, (V, side, side, 3), of a picture that was decoded as `pack` does."""
        extract = self._params.extract
        return fixed_views(picture, extract.side(self._params.model), extract.view).copy()

    def whitened(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(n, dim): features, whitened and of unit length (section 3.4); as they are where the run whitens nothing.

        Pictures in the blocks and order of the run's own extraction get the very bytes that they have there.
        """
        params = self._params
        with thread_limit(params.threads):
            spans = batches(len(crops), params.extract.batch)
            features = [self._features(np.stack(crops[a:b], axis=1)) for a, b in spans]
            rows = check_features(np.concatenate(features), params.extract.dtype)
            return rows.astype(np.float32, copy=False) if self._pca is None else self._pca.apply(rows)

    def _features(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, d) of (V, B, side, side, 3) views."""
        device = next(self._network.parameters()).device
        pictures = torch.from_numpy(views).permute(0, 1, 4, 2, 3).to(device)
        return embed(self._network, list(pictures), self._params.precision).cpu().numpy()

    def assigned(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest centroid of each whitened row, and the squared L2 distance to it."""
        with thread_limit(self._params.threads):
            cluster, distance = assign(rows, self._centroids)
        return cluster.astype(np.int32), distance.astype(np.float32)


def _device(name: str, report: Reporter) -> torch.device:
    """The run's device, or the CPU: where a run was trained says nothing of where it is used."""
    try:
        return device_of(name)
    except Refusal:
        report.say(f"device: {name} is not here: on the CPU, where last digits may differ")
        return torch.device("cpu")
