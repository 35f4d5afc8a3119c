"""Retrieval on Oxford5k and Paris6k (section 5.3, Table 5): how pictures are prepared, ranked and measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST = 1024
"""Longest side in pixels of a picture."""


def prepared(
    picture: NDArray[np.uint8], longest: int = LONGEST, box: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """A picture, resized so that its longest side has `longest` pixels; of a query, what is in its box after that.

    Args:
        picture: (H, W, 3) uint8; it is made larger too.
        box: left, top, right and bottom in pixels of the picture, as the ground truth gives them.

    Returns:
        (h, w, 3) uint8, resized bilinearly with antialiasing (Pillow's).

    Raises:
        ValueError: the box has no pixel in the picture.
    """
    height, width = picture.shape[:2]
    ratio = longest / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    resized = np.array(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    if box is None:
        return resized
    left, top, right, bottom = (max(0, round(side * ratio)) for side in box)
    query = resized[top:bottom, left:right]
    if not query.size:
        raise ValueError(f"the box {', '.join(map(str, box))} has no pixel of a picture of {width} by {height}")
    return query


def rankings(queries: NDArray[np.floating], database: NDArray[np.floating]) -> NDArray[np.int64]:
    """(Q, N) numbers of all N pictures for each query, that of the greatest product first.

    Equal products, as of copies of a picture, come in the order of the database.

    Args:
        queries: (Q, d) descriptors.
        database: (N, d) descriptors.
    """
    # Products in float64, rounded: those of equal descriptors are then equal.
    products = (queries.astype(np.float64) @ database.astype(np.float64).T).astype(np.float32)
    return np.argsort(-products, axis=1, kind="stable")


def average_precision(ranked: Iterable[str], positives: Collection[str], junk: Collection[str]) -> float:
    """Average precision of a ranking as the data sets' own program computes it, from 0 to 1.

    The area under the line through the points of recall and precision, from precision 1 at recall 0. A picture that is
    junk is passed over as if it were not there.

    Args:
        ranked: names of pictures, best first. The query's own counts as any other.
        positives: names that are good or ok. All count, also one that is not ranked, and each once, however often it
            is listed.
        junk: names that count neither way.

    Raises:
        ValueError: no picture is positive.
    """
    wanted, ignored = set(positives), set(junk)
    if not wanted:
        raise ValueError("a query has no positive picture")
    area, found, seen = 0.0, 0, 0
    recall, precision = 0.0, 1.0
    for name in ranked:
        if name in ignored:
            continue
        seen += 1
        found += name in wanted
        before = recall, precision
        recall, precision = found / len(wanted), found / seen
        area += (recall - before[0]) * (precision + before[1]) / 2
    return area
