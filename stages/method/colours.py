"""Changes of colour of training pictures: brightness, contrast, saturation, hue, grey, and blur.

None of them is in the paper; Chen et al. (2020), appendix A, has them all. As the crops, those of a whole epoch are
drawn before training starts. Everything but blur is one affine map of a picture's colours, so a batch of pictures
takes one product of small matrices on whatever device it lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the grey of a picture (ITU-R BT.601)."""

_YIQ = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
"""From red, green and blue to grey and two axes of colour, about which a turn changes the hue."""

SIGMA = (0.1, 2.0)
"""Standard deviation of the blur in pixels, uniform in between, of a picture with a side of `BLUR_SIDE` pixels."""

BLUR_SIDE = 224


@dataclass(frozen=True)
class Colours:
    """Changes of n pictures: colour x becomes `matrix` x + `pull` m, of a picture whose mean grey is m.

    Attributes:
        matrix: (n, 3, 3) float32, where the pictures will be.
        pull: (n,) float32, there too.
        sigma: (n,) float32, there too, of the blur, in pixels at a side of `BLUR_SIDE`; 0 for none. None: nothing is
            blurred.
    """

    matrix: Tensor
    pull: Tensor
    sigma: Tensor | None

    def __getitem__(self, which: slice) -> Colours:
        return Colours(self.matrix[which], self.pull[which], None if self.sigma is None else self.sigma[which])

    def to(self, device: torch.device) -> Colours:
        """The same for pictures on a device."""
        sigma = None if self.sigma is None else self.sigma.to(device)
        return Colours(self.matrix.to(device), self.pull.to(device), sigma)


def random_colours(n: int, rng: np.random.Generator, *, jitter: float, hue: float, grey: float, blur: float) -> Colours:
    """Changes of n pictures, in this order: brightness, contrast, saturation, hue, grey, blur.

    Args:
        jitter: brightness, contrast and saturation are multiplied by a factor uniform in 1 - jitter to 1 + jitter
            each, as torchvision's ColorJitter does.
        hue: the hue is turned by a uniform share of the colour circle, at most this.
        grey: share of the pictures that lose all colour.
        blur: share of the pictures that are blurred.
    """
    brightness, contrast, saturation = rng.uniform(1 - jitter, 1 + jitter, (3, n))
    turn = 2 * math.pi * rng.uniform(-hue, hue, n)
    saturation = np.where(rng.random(n) < grey, 0.0, saturation)
    sigma = np.where(rng.random(n) < blur, rng.uniform(*SIGMA, n), 0.0)
    turned = np.zeros((n, 3, 3))
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = np.cos(turn)
    turned[:, 1, 2], turned[:, 2, 1] = -np.sin(turn), np.sin(turn)
    hues = np.linalg.inv(_YIQ) @ turned @ _YIQ
    towards_grey = np.eye(3) * saturation[:, None, None] + (1 - saturation)[:, None, None] * np.array(LUMA)
    # Grey is left alone by all that follows contrast, so its pull on the mean goes through unchanged.
    matrix = hues @ towards_grey * (brightness * contrast)[:, None, None]
    pull = brightness * (1 - contrast)
    blurs = torch.from_numpy(sigma).float() if blur else None
    return Colours(torch.from_numpy(matrix).float(), torch.from_numpy(pull).float(), blurs)


def recoloured(pictures: Tensor, colours: Colours) -> Tensor:
    """(B, 3, H, W) uint8 pictures with their colours changed, alike; every value is rounded and kept within a byte."""
    rows = pictures.permute(0, 2, 3, 1).flatten(1, 2).float()
    mean = rows.mean(1) @ _luma(rows.device)
    rows = torch.baddbmm((colours.pull * mean)[:, None, None], rows, colours.matrix.transpose(1, 2))
    out = rows.unflatten(1, pictures.shape[2:]).permute(0, 3, 1, 2)
    if colours.sigma is not None:
        out = _blur(out, colours.sigma * (pictures.shape[3] / BLUR_SIDE))
    return out.round_().clamp_(0, 255).to(torch.uint8)


@cache
def _luma(device: torch.device) -> Tensor:
    """`LUMA` on a device, sent once: it would wait for each copy."""
    return torch.tensor(LUMA, device=device)


def _blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """(B, 3, H, W) pictures, each blurred by a Gaussian of its own (B,) standard deviation in pixels; 0: as it was.

    All at once, the longest kernel's steps one after the other, so that a GPU is not asked for each picture.
    """
    most = min(math.ceil(3 * SIGMA[1] * pictures.shape[3] / BLUR_SIDE), min(pictures.shape[2:]) - 1)
    steps = torch.arange(-most, most + 1, device=pictures.device)
    sigma = sigma[:, None]
    kernels = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-3)).square()) * (steps.abs() <= (3 * sigma).ceil())
    weights = (kernels / kernels.sum(1, keepdim=True))[:, :, None, None, None]
    for axis, edges in ((2, (0, 0, most, most)), (3, (most, most, 0, 0))):
        padded = pad(pictures, edges, mode="reflect")
        # Like the pictures in memory, which `pad` need not be.
        pictures = torch.zeros_like(pictures)
        for i in range(len(steps)):
            pictures.addcmul_(padded.narrow(axis, i, pictures.shape[axis]), weights[:, i])
    return pictures
