"""What the tests of stages/pack.py share: pictures that fill chunks, and the tables of a packed data set."""

import pandas as pd
from stage_helpers import picture, project_with, save

MIB = 2**20


def again(root, name="other", **dataset):
    """Another project on the same pictures, never stopped."""
    twin = root.parent / name
    source = str(root.parent / "pictures")
    project_with(twin, source, **dataset)
    return twin


def manifest(folder):
    return pd.read_parquet(folder / "manifest.parquet")


def rejected(folder):
    frame = pd.read_parquet(folder / "rejected.parquet")
    return dict(zip(frame["path"], frame["reason"], strict=True))


def wide_pictures(source, count):
    """Pictures of 108 kB at size 60, nine to a chunk of one MiB."""
    for number in range(count):
        save(source / "ab"[number % 2] / f"{number:03d}.png", picture(60, 600, number))
