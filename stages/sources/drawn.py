"""The demo's sets for evaluation, drawn into the layouts that people have on disk."""

from __future__ import annotations

from collections.abc import Iterator

from stages.parameters.sets import EvaluationSet
from stages.sources.landmark_files import draw_landmarks
from stages.sources.voc_files import draw_voc


def draw_set(entry: EvaluationSet) -> Iterator[tuple[str, bytes]]:
    """Each file of a set: its name relative to the set's folder, and its content; determined by the entry's `draw`."""
    assert entry.draw is not None
    return draw_voc(entry.draw) if entry.layout == "voc" else draw_landmarks(entry.draw)
