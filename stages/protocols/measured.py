"""What a result.json says in a table: which columns its numbers belong to, and how its row is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stages.protocols.quoted import ALL, CLASSIFICATION, DETECTION, IMAGENET, PLACES, SEGMENTATION, SOME, Column
from stages.words import plural

Result = Mapping[str, Any]
"""The content of a result.json."""

BESIDE = 0
"""In place of a table's number, for what the paper has in no table."""


SHARED = "test_images_trained_on"
"""In `measured_on`: how many pictures to test on have the name of one that was trained on."""


class Placed(NamedTuple):
    """A number, its table and its column there."""

    table: int
    column: Column
    value: float


_TASKS = {
    "voc_classification": (CLASSIFICATION, "map"),
    "detection": (DETECTION, "map"),
    "segmentation": (SEGMENTATION, "mean_iu"),
}
_TRAINED = {"fc6-8": SOME, "all": ALL}
_NETWORKS = {
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet10": "ResNet-10",
    "convnet": "Convnet",
    "resnet10-cifar": "ResNet-10 (CIFAR stem)",
    "resnet18-cifar": "ResNet-18 (CIFAR stem)",
}
_METHODS = {
    "kmeans": "DeepCluster",
    "pic": "DeepCluster by PIC",
    "deepcluster-v2": "DeepCluster-v2",
    "permuted": "Permuted pseudo-labels",
}
_TESTED = {"imagenet-val": IMAGENET, "places205-val": PLACES}
_DATA = {"imagenet": IMAGENET, "yfcc": "YFCC100M"}


def placed(result: Result) -> Iterator[Placed]:
    """The numbers of a result that a table has, in the order of its columns.

    A set of pictures under another name than the paper's has columns of its own in Table 1. In Tables 2 to 4 there is
    one place for each task, and in Table 5 the set's name says which of the two it stands for.
    """
    settings, numbers = result["settings"], result["numbers"]
    protocol = settings["protocol"]
    if protocol == "linear_probe":
        group = _TESTED.get(settings["test"], settings["test"])
        for layer, value in numbers["top1"].items():
            yield Placed(1, Column(group, layer), value)
    elif protocol in _TASKS:
        task, measure = _TASKS[protocol]
        column, value = Column(task, _TRAINED[settings["layers"]]), numbers[measure]
        yield Placed(2, column, value)
        yield Placed(3, column, value)
        if column == Column(DETECTION, ALL):
            yield Placed(4, Column("", _NETWORKS[result["network"]["architecture"]]), value)
    elif protocol == "retrieval":
        yield Placed(5, Column("", _landmarks(str(settings["test"]))), numbers["map"])
    elif protocol == "mlp":
        for name in ("top1", "top5"):
            yield Placed(BESIDE, Column("MLP", name.replace("top", "top-")), numbers[name])
    elif protocol == "knn":
        for k, value in numbers["top1"].items():
            yield Placed(BESIDE, Column("kNN", f"k = {k}"), value)


def _landmarks(name: str) -> str:
    for part, column in (("oxford", "Oxford5K"), ("paris", "Paris6K")):
        if part in name.lower():
            return column
    return name


def trained_on(result: Result) -> str:
    """The data that a network learnt from, as the paper names it; else by its own name."""
    network = result["network"]
    if network["epochs"] == 0:
        return "—" if network["start"] is None else "elsewhere"
    return _data(network["data"])


def _data(name: str) -> str:
    return _DATA.get(name, name)


def method(result: Result) -> str:
    """What a row of ours is called."""
    network = result["network"]
    start, epochs = network["start"], network["epochs"]
    if epochs == 0 and start is None:
        name = f"Random-{'sobel' if network['sobel'] else 'rgb'}"
    elif epochs == 0:
        name = f"Given weights: {_short(start)}"
    elif network["method"] == "labels":
        name = f"{_data(network['data'])} labels"
    else:
        name = _METHODS[network["method"]]
    begun = f" from {_short(start)}" if epochs and start is not None else ""
    return f"{name}{begun} (this run)"


def _short(start: str) -> str:
    """What was published, by its name; a file that was not, by the beginning of its sha256."""
    unnamed = len(start) == 64 and set(start) <= set("0123456789abcdef")
    return f"file {start[:12]}" if unnamed else start


def on(result: Result) -> str:
    """What a result was measured on, in words: two numbers of the same words can be compared."""
    settings = result["settings"]
    test = pictures_of(settings["test"])
    if settings["protocol"] == "retrieval":
        whiten = settings["whiten"]
        return f"Queries of {test}" + (f", whitened by {pictures_of(whiten)}" if whiten else "")
    part = settings.get("per_class")
    few = f" ({plural(part, 'picture')} a class)" if part else ""
    return f"Trained on {pictures_of(settings['train'])}{few}, tested on {test}"


def pictures_of(value: Any) -> str:
    """A data set, or a split of an evaluation set."""
    return f"{value['set']} {value['split']}" if isinstance(value, Mapping) else str(value)


def notes(result: Result) -> Iterator[str]:
    """What a reader must know of a row that holds this result, a sentence each."""
    network, settings = result["network"], result["settings"]
    name = _NETWORKS[network["architecture"]]
    filters = "with Sobel filters" if network["sobel"] else "on colours"
    yield f"{name} {filters}, input {network['input']}, width {network['width']:g}."
    if network["method"] == "labels" and network["epochs"]:
        yield (
            "A control: DeepCluster's network, input and schedule, with classes in place of clusters. The quoted rows "
            "of labels had a recipe of their own, and this one may lie well below."
        )
    where = f": regions of {name}'s {settings['layer']}" if settings["protocol"] == "retrieval" else ""
    yield f"{on(result)}{where}."
    if shared := result["measured_on"].get(SHARED):
        yield f"{plural(shared, 'test picture')} trained on as well, going by names: this number flatters."
    if settings.get("follow") == "zhang":
        yield "The classifier and schedule of Zhang et al. [72], from whom other rows are quoted."
    best = result["numbers"].get("best_top1")
    if best and best != result["numbers"]["top1"]:
        values = best.values() if isinstance(best, Mapping) else [best]
        told = ", ".join(f"{value:.1f}" for value in values)
        yield f"Of the best epoch on the test pictures, as the released code reports it: {told}."
