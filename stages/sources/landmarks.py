"""Oxford5k and Paris6k as their archives lie.

jpg/<name>.jpg              flat; all of them are searched
lab/<query>_query.txt       a picture's name and a box x1 y1 x2 y2; Oxford's names begin with oxc1_ here alone
lab/<query>_good.txt        names of pictures that show the place; _ok.txt likewise; _junk.txt count as neither
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stages.errors import Refusal
from stages.sources.survey import Query, Survey, Wanted, files_in, read_lists, read_names, refuse_no_folder

HOLDS = "jpg and lab (pictures flat, and the ground truth, of Oxford5k or Paris6k)"
ALL = "all"
"""The split of every picture that is searched."""

OXFORD = (
    *("all_souls", "ashmolean", "balliol", "bodleian", "christ_church", "cornmarket", "hertford", "keble"),
    *("magdalen", "pitt_rivers", "radcliffe_camera"),
)
PARIS = (
    *("defense", "eiffel", "invalides", "louvre", "moulinrouge", "museedorsay", "notredame", "pantheon", "pompidou"),
    *("sacrecoeur", "triomphe"),
)

CORRUPTED = {
    "louvre": (136, 146),
    "moulinrouge": (422,),
    "museedorsay": (1059,),
    "notredame": (188,),
    "pantheon": (284, 960, 974),
    "pompidou": (195, 196, 201, 467, 640),
    "sacrecoeur": (299, 330, 353),
    "triomphe": (662, 833, 863, 867),
}
UNREADABLE = frozenset(f"paris_{place}_{number:06d}" for place, numbers in CORRUPTED.items() for number in numbers)
"""Pictures of Paris6k's archive that are damaged: they are searched by nobody, and count as positives all the same."""

PICTURES: dict[tuple[str, ...], int] = {OXFORD: 5063, PARIS: 6412 - len(UNREADABLE)}
"""Pictures of the two sets: the ground truth names a part, and with fewer others a search is easier than it is."""


def survey_landmarks(root: Path, lists: Mapping[str, Path]) -> Survey:
    """What a folder of Oxford5k or Paris6k must hold: every picture of the ground truth and of the lists, and no fewer
    than the set has; whatever else lies in jpg is searched too.

    Args:
        lists: names of pictures that must be there, and are a split of their own.

    Raises:
        Refusal: no queries, a list missing, or a query without a box.
    """
    refuse_no_folder(root, HOLDS)
    lab = root / "lab"
    names = sorted(name.removesuffix("_query.txt") for name in files_in(lab) if name.endswith("_query.txt"))
    if not names:
        raise Refusal(f"{lab} holds no *_query.txt: the ground truth of Oxford5k or Paris6k")
    queries = [_query(lab, name) for name in names]
    files = [lab / f"{name}_{kind}.txt" for name in names for kind in ("query", "good", "ok", "junk")]
    further = read_lists(lists)
    named = {name for query in queries for name in (query.picture, *query.good, *query.ok, *query.junk)}
    lying = files_in(root / "jpg")
    if lying and not any(name.endswith(".jpg") for name in lying):
        raise Refusal(f"{root / 'jpg'} holds no .jpg, but {min(lying)}: pictures must lie in it flat, in no folders")
    searched = {name.removesuffix(".jpg") for name in lying if name.endswith(".jpg") and not name.startswith(".")}
    searched |= named.union(*further.values())
    left_out = searched & UNREADABLE

    def splits(name: str) -> tuple[str, ...]:
        return tuple(sorted([ALL, *(split for split, members in listed.items() if name in members)]))

    listed = {split: set(members) for split, members in further.items()}
    wanted = [Wanted(name, f"jpg/{name}.jpg", splits=splits(name)) for name in sorted(searched - left_out)]
    places = tuple(dict.fromkeys(name.rpartition("_")[0] for name in names))
    least = PICTURES.get(places, 0)
    return Survey(
        "landmarks", root, wanted, [*files, *lists.values()], (), queries, least, tuple(sorted(left_out & named))
    )


def _query(lab: Path, name: str) -> Query:
    path = lab / f"{name}_query.txt"
    fields = " ".join(read_names(path)).split()
    try:
        picture, box = fields[0].removeprefix("oxc1_"), [float(field) for field in fields[1:]]
        x1, y1, x2, y2 = box
    except (IndexError, ValueError):
        raise Refusal(f"{path} holds no picture's name with x1 y1 x2 y2") from None
    if not (x1 < x2 and y1 < y2):
        raise Refusal(f"{path}: its box is empty or inverted ({' '.join(fields[1:])})")
    lists = {}
    for kind in ("good", "ok", "junk"):
        listed = lab / f"{name}_{kind}.txt"
        if not listed.is_file():
            raise Refusal(f"{listed} is missing: each query has a good, an ok and a junk list")
        lists[kind] = tuple(read_names(listed))
    if not lists["good"] and not lists["ok"]:
        raise Refusal(f"{path}: its good and ok lists are both empty")
    return Query(name, picture, (x1, y1, x2, y2), lists["good"], lists["ok"], lists["junk"])
