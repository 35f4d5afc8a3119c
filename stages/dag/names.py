"""The names of the files and folders that the pipeline writes, each once.

data/images/<dataset>/
  pictures/                only where they are generated, as the demo's
  pixels.zarr              uint8, one dimension: every picture whole, row-major HWC, one after the other
  manifest.parquet         image, path (bytes), label (-1 unknown), chunk, offset, height, width, sha256
  rejected.parquet         path, reason
  pack.json                counts, size, classes, digests: what every later stage depends on
  listing.json             digest of the folder's listing when it was packed (not tracked by DVC)
data/evaluation/<set>/
  pictures/                only where they are drawn, as the demo's
  index.parquet            a row a picture: name, path, height, width, splits, labels, boxes, mask
  queries.parquet          a row a query of a retrieval set
  index.json               counts, classes, digest: what every later stage depends on
  proposals.parquet        boxes that may hold an object, a row a picture
data/runs/<run>/
  params.yaml              the run's resolved parameters
  epochs/0000/checkpoint.pt   the initialised network; of a branch, what it starts from, with branch.json
  epochs/0001/             features.zarr, pca.npz, whitened.zarr, centroids.npy, assignments.parquet,
                           clustering.json, pseudolabels.parquet, trained/, checkpoint.pt, metrics.json
  final/                   the clustering of the finished network
  model.safetensors        the backbone
  baseline.json            k-means on small pictures, by the measures of the groups
  history.csv              a row an epoch, the last for final/
  summary.json             the measures that two runs are compared by
  figures/                 curves.png, clusters.png
  evaluations/<name>/      result.json, curve.parquet, predictions.parquet; numbers.json, which `dvc metrics` shows
  timings.csv  log.txt     not tracked by DVC
data/tables/               table1 to table5, as CSV, Markdown and HTML
"""

from __future__ import annotations

PICTURES = "pictures"
PIXELS = "pixels.zarr"
MANIFEST = "manifest.parquet"
REJECTED = "rejected.parquet"
PACK = "pack.json"
LISTING = "listing.json"

INDEX = "index.parquet"
QUERIES = "queries.parquet"
INDEX_SUMMARY = "index.json"
PROPOSALS = "proposals.parquet"

PARAMS = "params.yaml"
CHECKPOINT = "checkpoint.pt"
BRANCH = "branch.json"
FEATURES = "features.zarr"
PCA = "pca.npz"
WHITENED = "whitened.zarr"
CENTROIDS = "centroids.npy"
ASSIGNMENTS = "assignments.parquet"
CLUSTERING = "clustering.json"
PSEUDOLABELS = "pseudolabels.parquet"
TRAINED = "trained"
STEPS = "steps.parquet"
METRICS = "metrics.json"
WEIGHTS = "model.safetensors"
PIXELS_BASELINE = "baseline.json"
HISTORY = "history.csv"
SUMMARY = "summary.json"
FIGURES = "figures"
RESULT = "result.json"
NUMBERS = "numbers.json"
CURVE = "curve.parquet"
PREDICTIONS = "predictions.parquet"
TABLES = "data/tables"
TIMINGS = "timings.csv"
LOG = "log.txt"

PLAN = "dvc.yaml"
LOCK = "dvc.lock"
PREVIOUS_LOCK = ".dvc.lock.previous"
"""Copy of dvc.lock from before its last change: DVC rewrites it in place, and a kill can cut it short."""
