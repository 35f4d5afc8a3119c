"""Buildings as the files of Oxford5k or Paris6k."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.parameters.sets import DrawParams
from stages.sources.buildings import View, draw_building, draw_view
from stages.sources.scenes import as_jpeg

PLACES = {
    "oxford": (
        *("arcade", "belfry", "chapel", "cloister", "granary", "lodge", "mill", "observatory", "priory", "quadrangle"),
        *("stables", "tollhouse"),
    ),
    "paris": (
        *("arsenal", "basilique", "caserne", "donjon", "fontaine", "halles", "lycee", "manege", "octroi", "phare"),
        *("rotonde", "theatre"),
    ),
}
"""Names of buildings; none is one of the two sets' own."""
QUERIES = 3
"""Pictures of a building that are queries."""


def draw_landmarks(params: DrawParams) -> Iterator[tuple[str, bytes]]:
    """Each file of a drawn folder of landmarks: its name relative to the folder, and its content.

    Of the pictures of a building a half is good, from which the queries are taken, a third ok, the others junk.
    """
    prefix, asked = ("", "oxc1_") if params.naming == "oxford" else ("paris_", "")
    places = PLACES[params.naming]
    for number in range(params.landmarks):
        place = places[number]
        kinds = _kinds(params.views)
        listed: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
        queries: list[str] = []
        for view, kind in enumerate(kinds):
            name = f"{prefix}{place}_{view:06d}"
            drawn = _view(params, 2, number, view, kind)
            yield f"jpg/{name}.jpg", as_jpeg(drawn.picture)
            listed[kind].append(name)
            if kind == "good" and len(queries) < QUERIES:
                assert drawn.box is not None
                queries.append(f"{asked}{name} {' '.join(f'{side:g}' for side in drawn.box)}\n")
        for query, line in enumerate(queries, start=1):
            yield f"lab/{place}_{query}_query.txt", line.encode()
            for kind, names in listed.items():
                yield f"lab/{place}_{query}_{kind}.txt", "".join(f"{name}\n" for name in names).encode()
    for number in range(params.distractors):
        drawn = _view(params, 3, number, 0, "good")
        other = "oxford" if params.naming == "oxford" else "paris_general"
        yield f"jpg/{other}_{number:06d}.jpg", as_jpeg(drawn.picture)


def _kinds(views: int) -> list[str]:
    good, ok = views // 2, views // 3
    return ["good"] * good + ["ok"] * ok + ["junk"] * (views - good - ok)


def _view(params: DrawParams, kind: int, number: int, view: int, seen: str) -> View:
    # Each building and each picture has a random state of its own: more of them change none.
    building = draw_building(np.random.default_rng([params.seed, kind, number]))
    rng = np.random.default_rng([params.seed, kind, number, view])
    return draw_view(building, rng, params.difficulty, seen)
