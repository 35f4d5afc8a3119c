"""The plain loop that the pipeline is measured against: what the authors' code does to each image.

Written from the facts of section 3.4 and of the released code, on current libraries: ImageFolder and a
DataLoader, every JPEG decoded and resized in every phase, float32 NCHW, Sobel as two convolutions inside
AlexNet, all features in one array, faiss for PCA and k-means, uniform sampling, a new top layer each
epoch, one file written at the end. `Options` gives the same loop bf16, channels_last and a GPU.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

LAYERS = (
    (96, 11, 4, 2, True),
    (256, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)
"""Filters, kernel, stride, padding, and whether max-pooling follows."""

NORMALISE = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
CENTRED = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALISE],
)
AUGMENTED = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMALISE],
)


@dataclass(frozen=True)
class Options:
    batch: int = 64
    workers: int = 2
    k: int = 100
    dim: int = 256
    lr: float = 0.01
    precision: str = "float32"
    channels_last: bool = False
    seed: int = 0
    device: str = "cpu"

    def autocast(self) -> AbstractContextManager[Any]:
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def placed(self, value: Any) -> Any:
        """A network or a batch on the device, in the layout that is asked for."""
        value = value.to(self.device, non_blocking=True)
        return value.to(memory_format=torch.channels_last) if self.channels_last else value

    def loader(self, images: Any, **drawn: Any) -> DataLoader:
        """Batches of images, in memory that the device reads fast where it is not the processor."""
        pinned = self.device != "cpu"
        return DataLoader(images, self.batch, num_workers=self.workers, pin_memory=pinned, **drawn)


class AlexNet(nn.Module):
    """Sobel, convolutions with batch norm, two hidden layers of 4096; normalised images to features."""

    def __init__(self) -> None:
        super().__init__()
        grey = nn.Conv2d(3, 1, 1)
        edges = nn.Conv2d(1, 2, 3, padding=1)
        with torch.no_grad():
            grey.weight.fill_(1 / 3)
            edges.weight[0, 0] = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
            edges.weight[1, 0] = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
            for layer in (grey, edges):
                assert layer.bias is not None
                layer.bias.zero_()
        self.sobel = nn.Sequential(grey, edges).requires_grad_(False)
        channels, modules = 2, []
        for filters, kernel, stride, padding, pooled in LAYERS:
            conv = nn.Conv2d(channels, filters, kernel, stride, padding)
            nn.init.normal_(conv.weight, 0, math.sqrt(2 / (kernel * kernel * filters)))
            nn.init.zeros_(conv.bias)
            modules += [conv, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
            if pooled:
                modules.append(nn.MaxPool2d(3, 2))
            channels = filters
        self.convolutions = nn.Sequential(*modules)
        self.hidden = nn.Sequential(
            nn.Dropout(0.5), linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5), linear(4096, 4096)
        )

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.hidden(self.convolutions(self.sobel(images)).flatten(1))
        return out


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0, 0.01)
    nn.init.zeros_(layer.bias)
    return layer


def start(options: Options) -> tuple[AlexNet, torch.optim.SGD]:
    """The network and its optimiser, which live as long as the run."""
    torch.manual_seed(options.seed)
    network = options.placed(AlexNet())
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return network, torch.optim.SGD(learned, options.lr, momentum=0.9, weight_decay=1e-5)


def features(network: AlexNet, folder: Path, options: Options, count: int | None = None) -> NDArray[np.float32]:
    """(N, 4096) features of the central crops, all in memory; `count`: of the first ones alone."""
    images: Any = ImageFolder(str(folder), CENTRED)
    if count is not None and count < len(images):
        images = torch.utils.data.Subset(images, range(count))
    network.eval()
    out = np.zeros((len(images), 4096), np.float32)
    done = 0
    with torch.no_grad(), options.autocast():
        for batch, _ in options.loader(images):
            found = network(options.placed(batch)).float().cpu().numpy()
            out[done : done + len(found)] = found
            done += len(found)
    return out


def whiten(rows: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """faiss's PCA with eigenvalues to the power -1/2, then unit length."""
    pca = faiss.PCAMatrix(rows.shape[1], dim, -0.5)
    pca.train(rows)
    out = pca.apply(rows)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def cluster(rows: NDArray[np.float32], k: int, seed: int = 0, iterations: int = 20) -> NDArray[np.int64]:
    """faiss's k-means on all rows, then their assignment."""
    clustering = faiss.Clustering(rows.shape[1], k)
    clustering.niter = iterations
    clustering.max_points_per_centroid = 10_000_000
    clustering.seed = seed
    index = faiss.IndexFlatL2(rows.shape[1])
    clustering.train(rows, index)
    return index.search(rows, 1)[1][:, 0]


class Pseudolabelled(Dataset):
    """Augmented images with their pseudo-labels."""

    def __init__(self, folder: Path, labels: NDArray[np.int64]) -> None:
        self.images = ImageFolder(str(folder), AUGMENTED)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.images[i][0], int(self.labels[i])


def uniform(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices, each label drawn equally often: label after label, as the plain loop does."""
    groups = _split(labels)
    share = count // len(groups) + 1
    draws = np.concatenate([rng.choice(group, share, replace=len(group) <= share) for group in groups])
    rng.shuffle(draws)
    return draws[:count]


def _split(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(labels))[:-1])
    return [group for group in groups if len(group)]


def train(
    network: AlexNet,
    optimizer: torch.optim.SGD,
    folder: Path,
    labels: NDArray[np.int64],
    options: Options,
    out: Path,
    count: int | None = None,
) -> float:
    """One epoch of `count` draws (default: as many as images), and the file at its end; the mean loss."""
    labels = np.unique(labels, return_inverse=True)[1]
    draws = uniform(labels, count or len(labels), np.random.default_rng(options.seed))
    sampler = SubsetRandomSampler(draws.tolist())
    loader = options.loader(Pseudolabelled(folder, labels), sampler=sampler)
    top = options.placed(linear(4096, int(labels.max()) + 1))
    top_optimizer = torch.optim.SGD(top.parameters(), options.lr, weight_decay=1e-5)
    network.train()
    losses = []
    for batch, target in loader:
        with options.autocast():
            scores = top(torch.relu(network(options.placed(batch))))
        loss = nn.functional.cross_entropy(scores.float(), target.to(options.device))
        optimizer.zero_grad()
        top_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        top_optimizer.step()
        losses.append(loss.item())
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, out)
    return float(np.mean(losses))


def epoch(network: AlexNet, optimizer: torch.optim.SGD, folder: Path, options: Options, out: Path) -> float:
    """A whole epoch: features, whitening, k-means, training, one file."""
    rows = whiten(features(network, folder, options), options.dim)
    return train(network, optimizer, folder, cluster(rows, options.k, options.seed), options, out)
