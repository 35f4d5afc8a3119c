"""The networks of others as their files have them: the authors' with their names and shapes, torchvision's own."""

from __future__ import annotations

import io
import pickle
import types
from collections import OrderedDict
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

TOP = 1000


def layers(plan: str, channels: int) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU for each "filters/kernel/stride/padding"; "M": a max-pooling."""
    found: list[nn.Module] = []
    for word in plan.split():
        if word[0] == "M":
            found.append(nn.MaxPool2d(int(word[1]), 2))
            continue
        filters, kernel, stride, padding = map(int, word.split("/"))
        found += [nn.Conv2d(channels, filters, kernel, stride, padding), nn.BatchNorm2d(filters), nn.ReLU()]
        channels = filters
    return nn.Sequential(*found)


PLANS = {
    "alexnet": "96/11/4/2 M3 256/5/1/2 M3 384/3/1/1 384/3/1/1 256/3/1/1 M3",
    "vgg16": " M2 ".join(
        " ".join([f"{filters}/3/1/1"] * count) for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    )
    + " M2",
}


class Released(nn.Module):
    """A network of the released code (section 3.4) for normalised pictures; it gives features before the last ReLU."""

    def __init__(self, architecture: str, sobel: bool) -> None:
        super().__init__()
        self.features = layers(PLANS[architecture], 2 if sobel else 3)
        if architecture == "alexnet":
            head = [nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096)]
        else:
            head = [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096)]
        self.classifier = nn.Sequential(*head)
        self.top_layer = nn.Linear(4096, TOP)
        self.sobel = None
        if sobel:
            grey, edges = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 3, padding=1)
            with torch.no_grad():
                grey.weight.fill_(1 / 3)
                across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
                edges.weight.copy_(torch.stack([across, across.T])[:, None])
                grey.bias.zero_()
                edges.bias.zero_()
            self.sobel = nn.Sequential(grey, edges)

    def forward(self, images: Tensor) -> Tensor:
        if self.sobel is not None:
            images = self.sobel(images)
        return self.classifier(self.features(images).flatten(1))


def alive(network: nn.Module) -> nn.Module:
    """Gives batch normalisation statistics of its own, so that a mixture of its layers would be seen."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in ((module.running_mean, -0.1, 0.1), (module.running_var, 0.8, 1.2)):
                value.uniform_(low, high, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.8, 1.2, generator=generator)
                module.bias.uniform_(-0.1, 0.1, generator=generator)
    return network.eval()


def released(architecture: str, sobel: bool) -> nn.Module:
    torch.manual_seed(0)
    return alive(Released(architecture, sobel))


def of_torchvision(name: str) -> nn.Module:
    torch.manual_seed(0)
    return alive(torchvision.models.get_model(name))


def normalised(images: Tensor) -> Tensor:
    """What those networks see of uint8 (B, 3, H, W) pictures."""
    return torchvision.transforms.functional.normalize(
        images.float() / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )


def released_features(network: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(normalised(images))


def torchvision_features(network: nn.Module, images: Tensor) -> Tensor:
    """Input of the top layer; of vgg16_bn before its last ReLU."""
    with torch.inference_mode():
        images = normalised(images)
        if isinstance(network, torchvision.models.VGG):
            return network.classifier[:4](network.avgpool(network.features(images)).flatten(1))
        return nn.Sequential(*list(network.children())[:-1])(images).flatten(1)


def checkpoint_of(state: dict[str, Tensor], arch: str) -> dict[str, Any]:
    """The content of the authors' .pth.tar: of their parallel network, as they saved it."""
    names = {name: name.replace("features.", "features.module.") for name in state}
    renamed = OrderedDict((names[name], value) for name, value in state.items())
    return {"epoch": 500, "arch": arch, "state_dict": renamed, "optimizer": {"state": {}, "param_groups": []}}


class _OldPickler(pickle._Pickler):
    """Writes texts as Python 2 did."""

    dispatch = pickle._Pickler.dispatch.copy()

    def _text(self, text: str) -> None:
        self.write(pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode("ascii"))
        self.memoize(text)

    dispatch[str] = _text


def legacy(content: Any) -> bytes:
    """`content` as PyTorch before 0.4.1 saved it under Python 2."""

    def dump(value: Any, file: Any, protocol: int = 2) -> None:
        _OldPickler(file, 2).dump(value)

    module = types.SimpleNamespace(Pickler=_OldPickler, dump=dump, __name__="pickle")
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_module=module, pickle_protocol=2, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
