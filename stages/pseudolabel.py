"""Turns clusters into pseudo-labels to train on, uniform over the clusters (section 3.3).

reads   assignments.parquet
writes  pseudolabels.parquet   image, label (dense, empty clusters skipped), weight (probability of
                               the image when labels are drawn uniformly)
"""

import numpy as np
import pandas as pd

from stages.artifacts import read_parquet
from stages.job import Job
from stages.method.sampling import dense_labels, uniform_weights
from stages.publish import write_parquet
from stages.runner import run_stage

REVISION = 1


def pseudolabel(job: Job) -> None:
    assignments = read_parquet(job.input("assignments"), ["image", "cluster"])
    labels = dense_labels(assignments["cluster"].to_numpy(np.int64))
    if job.params.pseudolabel.permuted:
        job.rng.shuffle(labels)
    frame = pd.DataFrame(
        {
            "image": assignments["image"],
            "label": labels.astype(np.int32),
            "weight": uniform_weights(labels),
        }
    )
    write_parquet(job.output("pseudolabels"), frame)
    job.images = len(frame)


if __name__ == "__main__":
    run_stage(pseudolabel)
