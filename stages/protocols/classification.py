"""Multi-label classification on PASCAL VOC 2007 with a network that is fine-tuned (Tables 2 and 3, "Classification").

Two recipes are in use. `pytorch` is the authors' own port, with which their README gives 72.0 and 70.4 mAP; `caffe` is
philkr/voc-classification, which the paper names. `Recipe` holds what differs between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.method.networks import Backbone, autocast, place
from stages.protocols.average_precision import DIFFICULT
from stages.protocols.heads import linear
from stages.protocols.sgd import Group, ScheduledSGD

Variant = Literal["pytorch", "caffe"]
Trained = Literal["fc6-8", "all"]
BatchNorm = Literal["affine", "frozen"]

FC_STD, FC_BIAS = 0.01, 0.1
"""Standard deviation of the new weights of linear layers, and their new biases."""

MOST_NORM = 10.0
"""Norm of all gradients together to which longer ones are scaled."""

CAFFE_BIAS_RATE = 2
"""Step size of a bias divided by that of its weights, where it is learnt as in Caffe."""


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes:
        variant: `caffe` draws all of fc6 to fc8 anew and doubles the step size of biases; `pytorch` leaves fc8's
            weights as PyTorch makes them.
        layers: `fc6-8`: convolutions keep their weights; `all`: everything is trained. Both start from new linear
            layers. A network that ends in an average has one, called FC8.
        batchnorm: `affine`: the scale and shift of each batch normalisation are trained, also where its convolution
            is not, as behind the paper's 72.0; `frozen`: they are not (70.4). Its statistics are never changed.
        lr: step size of the first step.
        step: iterations after which the step size is halved.
        weight_decay: factor of the l2 penalty.
    """

    variant: Variant = "pytorch"
    layers: Trained = "fc6-8"
    batchnorm: BatchNorm = "affine"
    lr: float = 0.003
    step: int = 5_000
    weight_decay: float = 1e-6


class MultiLabel(nn.Module):
    """A backbone and a linear layer from its last features, after the ReLU, to a logit for each class (fc8)."""

    def __init__(self, backbone: Backbone, top: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.top = top

    def forward(self, images: Tensor) -> Tensor:
        """(B, classes) logits of uint8 (B, 3, input, input) images."""
        logits: Tensor = self.top(self.backbone(images))
        return logits


@dataclass
class Classifier:
    """What training changes: the network and its SGD."""

    network: MultiLabel
    sgd: ScheduledSGD

    def state(self) -> dict[str, Any]:
        """The `state_dict` of each part, by its name. Dropout draws from torch's global state, which is not in it."""
        return {"network": self.network.state_dict(), "sgd": self.sgd.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave.

        Raises:
            RuntimeError: weights of another shape, or missing ones.
        """
        self.network.load_state_dict(state["network"])
        self.sgd.load_state_dict(state["sgd"])


def classifier(backbone: Backbone, classes: int, recipe: Recipe, *, seed: int, device: torch.device) -> Classifier:
    """A network with new linear layers, and its SGD.

    Args:
        backbone: with the weights of the run, which is changed; not folded.
        classes: number of classes, 20 in VOC.
        seed: of the new weights.
    """
    generator = torch.Generator().manual_seed(seed)
    top = linear(backbone.dim, classes, generator)
    hidden = [module for module in backbone.classifier.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for layer in [*hidden, top]:
            if layer is not top or recipe.variant == "caffe":
                layer.weight.normal_(0, FC_STD, generator=generator)
            layer.bias.fill_(FC_BIAS)
    network = MultiLabel(place(backbone, device), top.to(device))
    network.requires_grad_(False)
    weights, biases = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in trained(network, recipe):
        parameter.requires_grad_(True)
        (biases if name.endswith(".bias") else weights).append(parameter)
    bias_rate = CAFFE_BIAS_RATE if recipe.variant == "caffe" else 1
    halving = partial(halved, recipe.step)
    groups = [
        Group(weights, recipe.lr, recipe.weight_decay, halving),
        Group(biases, bias_rate * recipe.lr, recipe.weight_decay, halving),
    ]
    return Classifier(network, ScheduledSGD(groups, most_norm=MOST_NORM))


def halved(every: int, step: int) -> float:
    """A half for each `every` steps that are done."""
    return 0.5 ** (step // every)


def trained(network: MultiLabel, recipe: Recipe) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that the recipe trains, with their names."""
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            in_trunk = prefix.startswith("backbone.convolutions")
            if isinstance(module, nn.BatchNorm2d):
                wanted = recipe.batchnorm == "affine"
            else:
                wanted = recipe.layers == "all" or not in_trunk
            if wanted:
                yield f"{prefix}.{name}", parameter


def train_step(
    learner: Classifier, pictures: NDArray[np.uint8], labels: NDArray[np.uint8], precision: str = "float32"
) -> Tensor:
    """One step of SGD for one batch: its loss, a scalar on the device.

    Args:
        pictures: (B, H, W, 3) uint8.
        labels: (B, classes) of `ABSENT`, `PRESENT` and `DIFFICULT`.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
    """
    network = learner.network.train()
    # Dropout is on, and batch normalisation keeps the statistics of the run.
    network.backbone.convolutions.eval()
    device = network.top.weight.device
    with autocast(device, precision):
        logits = network(_on(device, pictures))
    loss = multilabel_loss(logits.float(), torch.from_numpy(labels).to(device))
    learner.sgd.step(loss)
    return loss.detach()


def multilabel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy summed over the classes, difficult ones left out, as a mean over the batch.

    Args:
        logits: (B, classes).
        labels: (B, classes) of `ABSENT`, `PRESENT` and `DIFFICULT`.
    """
    each = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return each.masked_fill(labels == DIFFICULT, 0).sum() / len(labels)


def crop_scores(
    network: MultiLabel, pictures: NDArray[np.uint8], crops: int, precision: str = "float32"
) -> NDArray[np.float32]:
    """(B, classes) scores of images, each the sum of its crops' logits.

    Args:
        pictures: (B * crops, H, W, 3) uint8, the crops of an image one after the other.
        crops: crops of each image.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
    """
    device = network.eval().top.weight.device
    with torch.inference_mode(), autocast(device, precision):
        logits: Tensor = network(_on(device, pictures))
        return logits.float().unflatten(0, (-1, crops)).sum(1).cpu().numpy()


def _on(device: torch.device, pictures: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) pictures as (B, 3, H, W) on the device; the order in memory stays."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device, non_blocking=True)
