"""Weights of others under our names, and ours under torchvision's.

Read are state dicts of the networks that the authors released (AlexNet and VGG-16, with batch normalisation, with the
Sobel filters as layers or without) and of torchvision's vgg16_bn, resnet18 and resnet50. Layers and shapes are those of
`stages.method.architectures` at width 1; names differ, and follow from ours by rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, Architecture, Convolution, PlainNetwork, PooledNetwork
from stages.method.networks import Backbone
from stages.method.sobel import Sobel

INPUT = 224
"""Side in pixels of the pictures that all these networks were trained on."""

TORCHVISION = {"vgg16": "vgg16_bn", "resnet18": "resnet18", "resnet50": "resnet50"}
"""torchvision's name of each architecture that it has; its `alexnet` is another network."""

_TOPS = {PlainNetwork: ("top_layer", "classifier.6"), PooledNetwork: ("fc",)}
"""Top layers, which are left out: the authors' and torchvision's."""

_COUNTER = "num_batches_tracked"
"""Of batch normalisation; used by nothing here, and missing in files older than PyTorch 0.4.1."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class Facts:
    """Which backbone some weights are of; the fields are those of the section `model` of params.yaml."""

    architecture: str
    sobel: bool
    input: int
    width: float

    @property
    def any_input(self) -> bool:
        """Whether the weights fit pictures of every size: those of a network that ends in an average do."""
        return isinstance(ARCHITECTURES[self.architecture], PooledNetwork)

    def shapes(self) -> dict[str, torch.Size]:
        """Shape of each weight of the backbone, by its name in our state dict."""
        with torch.device("meta"):
            network = Backbone(self.architecture, sobel=self.sobel, input=self.input, width=self.width)
        return {name: value.shape for name, value in network.state_dict().items()}


def from_foreign(state: Mapping[str, Tensor]) -> tuple[Facts, State]:
    """What backbone a state dict of others holds, and its weights, float32, under our names.

    Raises:
        Refusal: it is of no network that is known here, or a name or shape is not that network's.
    """
    theirs = {_without_wrapper(name): value for name, value in state.items()}
    if not any(name.endswith("running_mean") for name in theirs):
        raise Refusal(
            "it holds no batch normalisation: torchvision's alexnet and vgg16 are other networks than the paper's; its "
            f"{', '.join(TORCHVISION.values())} can be read, and the authors' AlexNet and VGG-16"
        )
    fixed = _sobel_layers() if "sobel.0.weight" in theirs else {}
    facts, names, shapes = max(_candidates(theirs), key=lambda found: _agreeing(theirs, found[2]))
    if not _agreeing(theirs, shapes):
        raise Refusal(f"it holds no network that is known here ({', '.join(ARCHITECTURES)}), but {_some(theirs)}")
    if facts.sobel:
        shapes |= {name: value.shape for name, value in fixed.items()}
    tops = [f"{top}.{kind}" for top in _TOPS[type(ARCHITECTURES[facts.architecture])] for kind in ("weight", "bias")]
    _account({name: value for name, value in theirs.items() if name not in tops}, shapes, facts.architecture)
    for name, value in fixed.items():
        if not torch.allclose(theirs[name].float(), value, atol=1e-6):
            raise Refusal(f"its {name} is not that of the fixed Sobel filters")
    return facts, _complete({ours: theirs[name] for ours, name in names.items() if name in theirs}, names)


def from_ours(facts: Facts, state: Mapping[str, Tensor]) -> State:
    """The weights of a backbone of ours, once every name and shape is known to be that of `facts`.

    Raises:
        Refusal: a name or shape is not.
    """
    shapes = facts.shapes()
    _account(state, shapes, facts.architecture)
    return _complete(state, shapes)


def for_torchvision(facts: Facts, state: Mapping[str, Tensor]) -> State:
    """Our weights under the names of torchvision's network, whose top layer (`classifier.6`, `fc`) is left out.

    Raises:
        Refusal: torchvision has no such network.
    """
    if facts.architecture not in TORCHVISION or facts.sobel or facts.width != 1:
        raise Refusal(
            f"torchvision has no such network: {describe(facts)}; it has {', '.join(TORCHVISION.values())}, of three "
            "colours and width 1"
        )
    if not facts.any_input and facts.input != INPUT:
        raise Refusal(
            f"torchvision's {TORCHVISION[facts.architecture]} is for pictures of {INPUT} pixels, and this "
            f"network for {facts.input}"
        )
    plan = ARCHITECTURES[facts.architecture]
    return {_their_name(plan, name): value for name, value in state.items()}


def describe(facts: Facts) -> str:
    """The backbone in a few words."""
    seen = "Sobel filters" if facts.sobel else "three colours"
    return f"{facts.architecture} of {seen}, input {facts.input}, width {facts.width:g}"


def _without_wrapper(name: str) -> str:
    """A name without the levels that `nn.DataParallel` adds, around the network or a part of it."""
    return ".".join(part for part in name.split(".") if part != "module")


def _candidates(theirs: Mapping[str, Tensor]) -> Iterator[tuple[Facts, dict[str, str], dict[str, torch.Size]]]:
    """Each network that a file may hold: its facts, their name of each of our weights, and the shape by their name."""
    plain = any(name.startswith("features.") for name in theirs)
    for architecture, plan in ARCHITECTURES.items():
        if isinstance(plan, PlainNetwork) == plain:
            for sobel in (True, False) if plain else (False,):
                facts = Facts(architecture, sobel, INPUT, 1.0)
                shapes = facts.shapes()
                names = {name: _their_name(plan, name) for name in shapes}
                yield facts, names, {names[name]: shape for name, shape in shapes.items()}


def _agreeing(theirs: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> int:
    return sum(name in theirs and theirs[name].shape == shape for name, shape in shapes.items() if shape)


def _their_name(plan: Architecture, name: str) -> str:
    """The name that the authors and torchvision give a weight of ours."""
    part, number, rest = name.split(".", 2)
    if isinstance(plan, PlainNetwork):
        if part == "convolutions":
            return f"features.{number}.{rest}"
        # Before the first hidden layer we flatten, and theirs may have no dropout.
        return f"classifier.{int(number) - (1 if plan.drops_first else 2)}.{rest}"
    stem, convolutions = list[str](), 0
    for layer in plan.stem:
        if isinstance(layer, Convolution):
            convolutions += 1
            stem += [f"conv{convolutions}", f"bn{convolutions}", "relu"]
        else:
            stem.append("maxpool")
    if int(number) < len(stem):
        return f"{stem[int(number)]}.{rest}"
    blocks = [f"layer{group}.{block}" for group, count in enumerate(plan.counts, 1) for block in range(count)]
    return f"{blocks[int(number) - len(stem)]}.{rest}"


def _sobel_layers() -> State:
    """The authors' two fixed layers: the mean of the channels, then the Sobel filters, both without bias."""
    return {
        "sobel.0.weight": torch.full((1, 3, 1, 1), 1 / 3),
        "sobel.0.bias": torch.zeros(1),
        "sobel.1.weight": Sobel().kernel,
        "sobel.1.bias": torch.zeros(2),
    }


def _account(found: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], architecture: str) -> None:
    """Refuses a name that is unknown or missing, a shape that is another, and a weight that is not finite."""
    for name, shape in shapes.items():
        if name in found and found[name].shape != shape:
            raise Refusal(
                f"it is no {architecture} as it is known here: {name} has shape {tuple(found[name].shape)} instead of "
                f"{tuple(shape)}"
            )
    if unknown := sorted(found.keys() - shapes.keys()):
        raise Refusal(f"it is no {architecture} as it is known here: {_some(unknown)} unknown")
    if missing := [name for name in shapes if name not in found and not name.endswith(_COUNTER)]:
        raise Refusal(f"it is no {architecture} as it is known here: {_some(missing)} missing")
    if broken := [name for name, value in found.items() if not torch.isfinite(value).all()]:
        raise Refusal(f"it holds values that are not finite: {_some(broken)}")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return f"{', '.join(listed[:3])}{more}"


def _complete(state: Mapping[str, Tensor], names: Iterable[str]) -> State:
    """`state` in the order of `names`, float32, with the counters that may be missing."""
    found = {}
    for name in names:
        value = state.get(name, torch.zeros((), dtype=torch.int64))
        found[name] = value.long() if name.endswith(_COUNTER) else value.float().contiguous()
    return found
