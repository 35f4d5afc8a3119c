"""SBD, the augmented masks of PASCAL VOC 2011 (Hariharan et al., 2011), as its archive lies.

img/<name>.jpg
cls/<name>.mat        GTcls.Segmentation: (height, width) uint8, 0 ground, 1 to 20
train.txt val.txt     a name a line; train_noval.txt: train without the pictures of VOC 2012's val
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stages.errors import Refusal
from stages.sources.survey import Survey, Wanted, read_lists, read_names, refuse_no_folder
from stages.sources.voc import VOC_CLASSES

SPLITS = ("train", "val", "train_noval")
HOLDS = "img, cls and train.txt (benchmark_RELEASE/dataset of SBD's archive)"


def survey_sbd(root: Path, lists: Mapping[str, Path]) -> Survey:
    """What SBD's folder must hold: a picture and a mask for each name of its lists.

    Args:
        lists: further splits, or lists that the folder lacks.

    Raises:
        Refusal: there is no list.
    """
    refuse_no_folder(root, HOLDS)
    files = [root / f"{split}.txt" for split in SPLITS if split not in lists and (root / f"{split}.txt").is_file()]
    splits = {path.stem: read_names(path) for path in files} | read_lists(lists)
    if not any(splits.values()):
        raise Refusal(f"{root} holds none of {', '.join(f'{split}.txt' for split in SPLITS)}: the lists of SBD")
    members: dict[str, list[str]] = {}
    for split, names in splits.items():
        for name in names:
            members.setdefault(name, []).append(split)
    wanted = [
        Wanted(name, f"img/{name}.jpg", mask=f"cls/{name}.mat", splits=tuple(sorted(of)))
        for name, of in sorted(members.items())
    ]
    return Survey("sbd", root, wanted, [*files, *lists.values()], VOC_CLASSES)
