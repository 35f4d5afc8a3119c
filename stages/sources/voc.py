"""PASCAL VOC as its devkit lies: the folder VOC2007 or VOC2012.

ImageSets/Main/<split>.txt                 a name a line
ImageSets/Main/<class>_<split>.txt         name and 1, -1, or 0 where each object of the class is difficult
ImageSets/Segmentation/<split>.txt         a name a line
JPEGImages/<name>.jpg
Annotations/<name>.xml                     boxes, classes, difficult, truncated
SegmentationClass/<name>.png               palette: 0 ground, 1 to the number of classes, 255 void
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stages.errors import Refusal
from stages.sources.lists import read_lines
from stages.sources.survey import Survey, Wanted, files_in, read_lists, read_names, refuse_no_folder

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
SPLITS = ("train", "val", "trainval", "test")

MAIN, SEGMENTATION = "ImageSets/Main", "ImageSets/Segmentation"
HOLDS = "JPEGImages, Annotations, SegmentationClass and ImageSets (VOCdevkit/VOC2007 or VOC2012)"

_LABELS = {"1": 1, "-1": -1, "0": 0}


def survey_voc(root: Path, lists: Mapping[str, Path]) -> Survey:
    """What a VOC folder must hold.

    The classes are VOC's twenty, or, where a class file has another name, those of the class files, in order of name.
    A split without any class file is one whose labels are not public (VOC2012's test): it has neither labels nor boxes.

    Args:
        lists: further splits; of their pictures, boxes and masks are taken where they are.

    Raises:
        Refusal: no lists, a class file missing, or one that does not fit its split.
    """
    refuse_no_folder(root, HOLDS)
    main, segmentation = _splits(root / MAIN), _splits(root / SEGMENTATION)
    if not main and not segmentation:
        raise Refusal(f"{root / MAIN} holds none of {', '.join(SPLITS)} (.txt): the lists of a VOCdevkit")
    if twice := sorted(lists.keys() & {*main, *segmentation}):
        raise Refusal(f"{root}: lists.{twice[0]}: the set has a split of that name: name the list otherwise")
    classes, labelled = _classes(root / MAIN, main)
    labels, files = _labels(root / MAIN, {split: main[split] for split in labelled}, classes)
    files += [root / MAIN / f"{split}.txt" for split in main]
    files += [root / SEGMENTATION / f"{split}.txt" for split in segmentation]
    further = read_lists(lists)
    members = {f"Main/{split}": names for split, names in main.items()}
    members |= {f"Segmentation/{split}": names for split, names in segmentation.items()} | further
    splits: dict[str, list[str]] = {}
    for split, names in members.items():
        for name in names:
            splits.setdefault(name, []).append(split)
    annotations, masks = files_in(root / "Annotations"), files_in(root / "SegmentationClass")

    def want(name: str) -> Wanted:
        boxes = name in labels or f"{name}.xml" in annotations
        mask = any(split.startswith("Segmentation/") for split in splits[name]) or f"{name}.png" in masks
        return Wanted(
            name,
            f"JPEGImages/{name}.jpg",
            f"Annotations/{name}.xml" if boxes else None,
            f"SegmentationClass/{name}.png" if mask else None,
            tuple(sorted(splits[name])),
            labels.get(name),
        )

    return Survey("voc", root, [want(name) for name in sorted(splits)], [*files, *lists.values()], classes)


def _splits(folder: Path) -> dict[str, list[str]]:
    lying = files_in(folder)
    found = {split: read_names(folder / f"{split}.txt") for split in SPLITS if f"{split}.txt" in lying}
    for split, names in found.items():
        if not names:
            raise Refusal(f"{folder / f'{split}.txt'} names no picture")
    return found


def _classes(folder: Path, main: Mapping[str, list[str]]) -> tuple[tuple[str, ...], list[str]]:
    """The classes, and the splits that have labels."""
    found: dict[str, set[str]] = {}
    for file in files_in(folder):
        name, separator, split = file.removesuffix(".txt").rpartition("_")
        if file.endswith(".txt") and separator and name and split in SPLITS:
            found.setdefault(split, set()).add(name)
    classes = set().union(*found.values())
    if classes <= set(VOC_CLASSES):
        classes = set(VOC_CLASSES)
    for split in sorted(found):
        if split not in main:
            raise Refusal(f"{folder / f'{split}.txt'} is missing, and class files of that split are there")
        if lacking := sorted(classes - found[split]):
            raise Refusal(
                f"{folder / f'{lacking[0]}_{split}.txt'} is missing: {len(found[split]):,} of {len(classes):,} class "
                f"files of {split} are there"
            )
    return tuple(sorted(classes)), [split for split in SPLITS if split in found]


def _labels(
    folder: Path, main: Mapping[str, list[str]], classes: tuple[str, ...]
) -> tuple[dict[str, tuple[int, ...]], list[Path]]:
    """The labels of each picture in order of the classes, and the files that say so."""
    labels: dict[str, tuple[int, ...]] = {}
    files = []
    for split, names in main.items():
        columns = []
        for name in classes:
            path = folder / f"{name}_{split}.txt"
            columns.append(_class_file(path, names))
            files.append(path)
        for name, row in zip(names, zip(*columns, strict=True), strict=True):
            if labels.setdefault(name, row) != row:
                other = next(of for of, a, b in zip(classes, labels[name], row, strict=True) if a != b)
                raise Refusal(f"{folder / f'{other}_{split}.txt'}: {name} has another label in another split")
    return labels, files


def _class_file(path: Path, names: list[str]) -> list[int]:
    """The labels of a class file, for the names of its split."""
    found: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.decode(errors="replace").split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in _LABELS:
            raise Refusal(f"{path}: line {number}: {' '.join(fields)!r} is no name with 1, -1 or 0")
        found[fields[0]] = _LABELS[fields[1]]
    if found.keys() != set(names):
        lacking = [name for name in names if name not in found]
        what = f"lacks {lacking[0]}" if lacking else f"names {min(found.keys() - set(names))}"
        raise Refusal(f"{path} {what}, unlike {path.name.rpartition('_')[2]}: they are not of one set")
    return [found[name] for name in names]
