"""A run's results in pandas, read from the files of its epochs, also while the run goes on."""

from __future__ import annotations

import html
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.recording.recorded_files import final_is_current
from pipeline.results.epoch_files import Epoch, EpochFiles
from pipeline.results.evaluations import EvaluationFiles, numbers_table, told
from pipeline.results.mixtures import Descent
from pipeline.results.neighbours import neighbours, pairs_table
from stages.artifacts.arrays import read_npy
from stages.artifacts.documents import load_json
from stages.artifacts.measures import HISTORY, epoch_row, history_table
from stages.artifacts.pictures import PackedImages
from stages.artifacts.run_params import load_run_params
from stages.artifacts.tables import read_parquet
from stages.dag.epochs import epochs_with, spans
from stages.dag.folders import dataset_folder, find_root, run_folder
from stages.dag.names import (
    ASSIGNMENTS,
    CENTROIDS,
    CHECKPOINT,
    CLUSTERING,
    FEATURES,
    MANIFEST,
    METRICS,
    PSEUDOLABELS,
    STEPS,
    TIMINGS,
    TRAINED,
    WHITENED,
)
from stages.errors import Refusal
from stages.method import clusterings, measures
from stages.parameters.run import RunParams
from stages.sources.listing import source_path

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.artifacts.chunks import ChunkReader
    from stages.method.networks import Backbone

SHOWN = ["epoch", "loss", "accuracy", "nmi_labels", "ami_labels", "nmi_previous", "reassigned", "used", "largest_share"]
"""Columns of `Run.history` that a notebook shows of a run."""


class Run:
    """A run by name.

    Args:
        name: folder below data/runs.
        root: the project's root; by default the one around the working directory.

    Attributes:
        params: the run's resolved parameters.
        folder: where its artifacts lie.
    """

    def __init__(self, name: str, root: str | Path | None = None) -> None:
        self.name = name
        self.root = find_root(Path(root) if root is not None else Path.cwd())
        self.folder = self.root / run_folder(name)
        self.params: RunParams = load_run_params(self.folder)
        self._files = EpochFiles(self.root, name, self.params)
        self._descent = Descent(self.folder)

    def __repr__(self) -> str:
        done = self.epochs()
        return f"Run({self.name!r}, {len(done)} of {self.params.epochs - self.params.start} epochs)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the table of epochs."""
        table = self.history()[SHOWN]
        body = table.to_html(index=False, float_format="{:.3f}".format, na_rep="-", border=0)
        return f"<p>{html.escape(repr(self))}</p>{body}"

    def epochs(self) -> list[int]:
        """The finished epochs, in order."""
        return epochs_with(self.folder, METRICS)

    def history(self) -> pd.DataFrame:
        """A row per finished epoch: losses, accuracy, the measures of its clustering, and those of k-means on pixels.

        Columns and dtypes are those of `stages.artifacts.measures.HISTORY`. The last row is the clustering of final/,
        once it is there, and has no losses; an epoch without reclustering has no measures.

        Warns where some epochs do not descend from the others, since the run was changed and stopped.
        """
        self._warn_of_mixture()
        rows = [load_json(self._files.path(epoch, METRICS)) for epoch in self.epochs()]
        final = self.folder / "final" / CLUSTERING
        if final.exists() and final_is_current(self.root, self.params):
            rows.append(epoch_row(self.params.epochs + 1, clustering=load_json(final)))
        return history_table(rows, self._files.baseline()).astype(HISTORY)

    def assignments(self, epoch: Epoch | None = None) -> pd.DataFrame:
        """The cluster of each image.

        Args:
            epoch: one epoch gives image (int64), cluster (int32), distance (float32, squared L2 to the centroid), a
                row per image; of deepcluster-v2 also cluster_1, …. None gives all epochs: index image, a column per
                epoch (its number, or "final") of int32.
        """
        if epoch is not None:
            return read_parquet(self._files.clustered(epoch, ASSIGNMENTS))
        self._warn_of_mixture()
        columns: dict[Epoch, Any] = {number: self._clusters(number) for number in self._files.clusterings()}
        frame = pd.DataFrame(columns)
        frame.index.name, frame.columns.name = "image", "epoch"
        return frame

    def nmi(self, a: Epoch | None = None, b: Epoch | None = None) -> Any:
        """NMI between clusterings (section 4.1).

        Without arguments a table: epoch, previous (to the clustering before), labels (to the classes), float64. With
        two epochs, the NMI between them as a float; None where both are a single cluster.
        """
        if (a is None) != (b is None):
            raise Refusal("nmi takes two epochs, or none: give --a and --b")
        if a is not None and b is not None:
            return measures.nmi(self._clusters(a), self._clusters(b))
        _ = self.params.pictures  # Without any there are no clusterings, which this says.
        table = self.history().dropna(subset=["used"])[["epoch", "nmi_previous", "nmi_labels"]]
        return table.rename(columns={"nmi_previous": "previous", "nmi_labels": "labels"}).reset_index(drop=True)

    def clusters(self, epoch: Epoch) -> pd.DataFrame:
        """A row per non-empty cluster, largest first.

        Columns: cluster (int32), size (int64), mean_distance (float32); where there are labels: label (class name of
        most of its images) and purity (their share, float64).
        """
        images = self.packed()
        return clusterings.clusters(self.assignments(epoch), images.label, images.classes)

    def transitions(self, a: Epoch, b: Epoch) -> pd.DataFrame:
        """How the clusters of `a` went over into those of `b`: a row per pair that shares images.

        Columns: from, to (int32), images (int64), share_from, share_to (of the old and of the new cluster, float64),
        kind: "kept" (most of the old and of the new), "split" (a part of an old one that makes most of the new),
        "merged" (most of the old, a part of the new), "died" for the largest flow of an old cluster that is most of
        nothing, "leaked" for the rest.
        """
        return clusterings.transitions(self.assignments(a)["cluster"], self.assignments(b)["cluster"])

    def groups(self, epoch: Epoch = "final") -> pd.DataFrame:
        """The groups to take away: path (str, absolute, of the picture's own file), image, cluster, distance.

        Sorted by cluster and distance, so that each begins with its most typical picture."""
        frame = self.assignments(epoch)[["image", "cluster", "distance"]]
        frame.insert(0, "path", self.sources())
        return frame.sort_values(["cluster", "distance"], kind="stable").reset_index(drop=True)

    def latest(self) -> Epoch:
        """ "final", or the last whole epoch of a run that is not finished."""
        return self._files.latest()

    def neighbours(self, image: int | str | Path, n: int = 12, epoch: Epoch = "final") -> pd.DataFrame:
        """The pictures of the run closest to a picture, by exact search in what the epoch clusters.

        Args:
            image: the number of a picture of the run, which is left out; or a file, which is put through the network
                unless it is one of the run's.

        Returns:
            image (int64), path (str, as in `images`), cluster (int32), distance (float32, squared L2), closest first.
        """
        return neighbours(self, self._files, image, n, epoch)

    def nearest_pairs(self, n: int = 20, epoch: Epoch = "final") -> pd.DataFrame:
        """The n pairs of pictures closest to each other, exact, in what the epoch clusters; near copies come first.

        Returns:
            distance (float32, squared L2), image_a, image_b (int64, a < b), path_a, path_b (str), closest first. The
            time grows with the square of the number of pictures.
        """
        return pairs_table(self._files.clustered_rows(epoch), self._paths(), n)

    def duplicates(self) -> pd.DataFrame:
        """Pictures whose files are the same, byte for byte: image (int64), path (str), group (int64, from 0)."""
        images = self.images()
        copies = images[images.duplicated("sha256", keep=False)]
        groups, _ = pd.factorize(copies["sha256"])
        return copies[["image", "path"]].assign(group=groups).sort_values(["group", "image"], ignore_index=True)

    def images(self) -> pd.DataFrame:
        """The packed pictures: image (int64), path (str), label (int32, -1 unknown), class (str or missing), height,
        width (int32, as packed), sha256 of the file (str)."""
        images = self.packed()
        frame = read_parquet(images.folder / MANIFEST)
        return pd.DataFrame(
            {
                "image": frame["image"],
                "path": self._paths(),
                "label": frame["label"],
                "class": clusterings.named(frame["label"], images.classes),
                "height": frame["height"],
                "width": frame["width"],
                "sha256": frame["sha256"],
            }
        )

    def image(self, image: int) -> Image:
        """The packed picture, as a PIL image."""
        from PIL import Image as pil

        images = self.packed()
        if not 0 <= image < len(images):
            raise Refusal(f"image {image}: data set {images.folder.name} has images 0 to {len(images) - 1}")
        return pil.fromarray(np.array(images[image]))

    def features(self, epoch: Epoch) -> ChunkReader:
        """(N, d) features, of deepcluster-v2 (N, views, dim), lazily: `.shape`; `.blocks()`, by chunk; `.read()`."""
        return self._files.rows(epoch, FEATURES, "extract")

    def whitened(self, epoch: Epoch) -> ChunkReader:
        """(N, dim) whitened features, lazily; see `features`."""
        return self._files.rows(epoch, WHITENED, "whiten")

    def centroids(self, epoch: Epoch) -> NDArray[np.float32]:
        """(k, dim) float32; of deepcluster-v2 (heads, k, dim)."""
        return np.asarray(read_npy(self._files.clustered(epoch, CENTROIDS)))

    def pseudolabels(self, epoch: int) -> pd.DataFrame:
        """image (int64), label (int32, dense), of deepcluster-v2 also label_1, …: what the epoch trained on."""
        return read_parquet(self._files.clustered(epoch, PSEUDOLABELS))

    def steps(self, epoch: int) -> pd.DataFrame:
        """The epoch's steps: iteration, images, correct (int32), loss, lr (float64)."""
        return read_parquet(self._files.whole(epoch, f"{TRAINED}/{STEPS}"))

    def model(self, epoch: int | None = None) -> Backbone:
        """The backbone of an epoch, by default the last finished one, in eval mode on the CPU.

        `model.features(images)` takes uint8 (B, 3, input, input) and gives (B, d).
        """
        from stages.artifacts.checkpoints import build, load, restore

        if epoch is None:
            epoch = max([self.params.start, *self.epochs()])
        path = self._files.whole(epoch, CHECKPOINT)
        network = build(self.params.model)
        restore(network, load(path)["network"], path)
        return network.eval()

    def timings(self) -> pd.DataFrame:
        """Every stage that was run: epoch (str: a number or "final"), stage (str), pid (int64), seconds, peak_anon_mb,
        images_per_s (float64), threads (int64), device, versions (str)."""
        path = self.folder / TIMINGS
        if not path.exists():
            raise Refusal(f"{path} is missing: no stage of run {self.name} was run here")
        return pd.read_csv(path, dtype={"epoch": "str", "peak_anon_mb": "float64", "images_per_s": "float64"})

    def evaluations(self) -> pd.DataFrame:
        """A row a number that was measured: evaluation, protocol, test, number (str), value (float64, in percent)."""
        return numbers_table(self.root, self.name)

    def evaluation(self, name: str) -> EvaluationFiles:
        """What an evaluation wrote: `.result` (dict), `.numbers`, and as tables `.curve` and `.predictions`."""
        return told(self.root, self.name, name)

    def _clusters(self, epoch: Epoch) -> NDArray[np.int32]:
        path = self._files.clustered(epoch, ASSIGNMENTS)
        clusters: NDArray[np.int32] = read_parquet(path, ["cluster"])["cluster"].to_numpy()
        return clusters

    def _warn_of_mixture(self) -> None:
        if others := self._descent.broken():
            numbers = [int(name) for name in others if name != "final"]
            named = " and ".join([f"epochs {spans(numbers)}"] * bool(numbers) + ["final"] * ("final" in others))
            warnings.warn(
                f"run {self.name}: {named} were made from files that have since been made again: `python -m "
                f"pipeline status --run {self.name}` says which, `run` computes them anew",
                stacklevel=3,
            )

    def packed(self) -> PackedImages:
        """The packed pixels, by number of image: `run.packed()[17]` is (height, width, 3) uint8."""
        return PackedImages(self.root / dataset_folder(self.params.pictures.name))

    def sources(self) -> pd.Series[Any]:
        """(N,) the absolute path of each picture's own file, as it was when it was packed; as objects, see `images`."""
        source = source_path(self.root, self.params.pictures)
        # Lines of a text file are relative to its folder.
        base = os.path.abspath(source.parent if source.is_file() else source)
        return pd.Series([os.path.join(base, path) for path in self._paths()], dtype=object)

    def _paths(self) -> pd.Series[Any]:
        # Names that are not UTF-8 keep their bytes as surrogates; os.fsencode gives them back. pandas'
        # own string type refuses surrogates.
        return pd.Series([os.fsdecode(path) for path in self.packed().paths()], dtype=object)
