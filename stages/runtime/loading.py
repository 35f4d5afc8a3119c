"""Views of packed pictures on a device, made ahead of the network, in order.

On a CPU threads cut and resize the pictures. For a GPU they copy pixels alone, or nothing at all where the data set
stays in its memory, and the GPU resizes them to the same bytes. Neither the number of threads nor the way changes a
view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.artifacts.pictures import PackedImages
from stages.method.augment import cropped
from stages.method.colours import recoloured
from stages.method.device_crops import Windows, resized_windows
from stages.method.views import Views
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.transfer import Uploads
from stages.words import size

Group = tuple[Views, int]
"""Views, and how many of them an item has: item i those from i times that number on."""

Span = tuple[int, int]
"""Items from the first number to before the second."""

MOST_PIXELS = 2**28
"""Bytes of pixels that a device resizes at once; it computes with four times as many."""


def load_views(
    job: Job[Any], images: PackedImages, groups: Sequence[Group], spans: Sequence[Span], device: torch.device
) -> Iterator[list[Tensor]]:
    """Of each span, the views of each group with their colours changed: (B, 3, side, side) uint8 on `device`."""
    if device.type == "cpu":
        return _cut(job, images, groups, spans)
    # Sending what is seen costs less than sending all, where each picture is seen once.
    seen = sum(int(views.crops.nbytes.sum()) for views, _ in groups)
    free = torch.cuda.mem_get_info(device)[0]
    resident = bool(spans) and images.pixel_bytes <= min(seen, job.device_memory * free)
    if resident:
        job.say(f"all pictures stay on {device} meanwhile: {size(images.pixel_bytes)}")
    return on_device(job, images, groups, spans, device, resident=resident)


def _cut(job: Job[Any], images: PackedImages, groups: Sequence[Group], spans: Sequence[Span]) -> Iterator[list[Tensor]]:
    def load(span: Span) -> list[NDArray[np.uint8]]:
        return [views.batch(images, span[0] * count, span[1] * count) for views, count in groups]

    for span, batches in zip(spans, prefetch(load, spans, job.workers), strict=True):
        yield [
            # The layout channels_last is NCHW by shape and NHWC in memory, so this moves no pixel.
            _recoloured(torch.from_numpy(batch).permute(0, 3, 1, 2), views, span[0] * count, span[1] * count)
            for batch, (views, count) in zip(batches, groups, strict=True)
        ]


def on_device(
    job: Job[Any],
    images: PackedImages,
    groups: Sequence[Group],
    spans: Sequence[Span],
    device: torch.device,
    *,
    resident: bool,
) -> Iterator[list[Tensor]]:
    """`load_views` as for a GPU; any device computes the same.

    Args:
        resident: whether the device holds all pixels of the data set.
    """
    groups = [(replace(views, colours=views.colours and views.colours.to(device)), count) for views, count in groups]
    if resident:
        windows = [_windows_of_all(images, views, device) for views, _ in groups]
        pixels: Iterator[tuple[Tensor, list[int] | None]] = repeat((_all_pixels(images, device), None))
    else:
        windows = [_windows_of_crops(views, device) for views, _ in groups]
        pixels = _sent(job, images, groups, spans, device)
    for span, (flat, firsts) in zip(spans, pixels, strict=False):
        made = []
        for number, ((views, count), placed) in enumerate(zip(groups, windows, strict=True)):
            start, stop = span[0] * count, span[1] * count
            part = placed[start:stop]
            if firsts is not None:
                part = replace(part, start=part.start - part.start[0] + firsts[number])
            crops = views.crops
            squares = _squares(flat, part, crops.height[start:stop], crops.width[start:stop], views.side)
            made.append(_recoloured(squares.permute(0, 3, 1, 2), views, start, stop))
        yield made


def _recoloured(pictures: Tensor, views: Views, start: int, stop: int) -> Tensor:
    return pictures if views.colours is None else recoloured(pictures, views.colours[start:stop])


def _squares(
    pixels: Tensor, windows: Windows, height: NDArray[np.int64], width: NDArray[np.int64], side: int
) -> Tensor:
    """`resized_windows` of windows of these sizes, in parts where a tall and a wide one would fill the device."""
    heights, widths = ((int(sides.min()), int(sides.max())) for sides in (height, width))
    half = len(height) // 2
    if half and 3 * len(height) * heights[1] * max(widths[1], side) > MOST_PIXELS:
        parts = slice(half), slice(half, None)
        return torch.cat([_squares(pixels, windows[part], height[part], width[part], side) for part in parts])
    return resized_windows(pixels, windows, heights, widths, side)


def _all_pixels(images: PackedImages, device: torch.device) -> Tensor:
    flat = torch.empty(images.pixel_bytes + _tail(images.width), dtype=torch.uint8, device=device)
    start = 0
    for block in prefetch(images.pixel_block, range(images.pixel_chunks), 1):
        flat[start : start + len(block)].copy_(torch.from_numpy(block))
        start += len(block)
    return flat


def _windows_of_all(images: PackedImages, views: Views, device: torch.device) -> Windows:
    """The windows of views in the pixels of the data set."""
    stride = 3 * images.width[views.images].astype(np.int64)
    start = images.start[views.images] + views.crops.top * stride + 3 * views.crops.left
    return Windows.of(start, stride, views.crops, device)


def _windows_of_crops(views: Views, device: torch.device) -> Windows:
    """The windows of views in the pixels that they show, one after the other."""
    sizes = views.crops.nbytes
    return Windows.of(np.cumsum(sizes) - sizes, 3 * views.crops.width, views.crops, device)


def _sent(
    job: Job[Any], images: PackedImages, groups: Sequence[Group], spans: Sequence[Span], device: torch.device
) -> Iterator[tuple[Tensor, list[int] | None]]:
    """Of each span the pixels of its crops on the device, and the byte at which each group begins."""
    sizes = [views.crops.nbytes for views, _ in groups]
    counts = [count for _, count in groups]

    # Of each span the byte at which each group begins, and that behind the last.
    firsts = [
        list(accumulate((int(each[a * n : b * n].sum()) for each, n in zip(sizes, counts, strict=True)), initial=0))
        for a, b in spans
    ]
    tail = max(_tail(views.crops.width) for views, _ in groups)
    most = max((first[-1] for first in firsts), default=0) + tail
    # One for each batch that `prefetch` has under way, and one more that the device still fetches.
    uploads = Uploads(job.workers + 2, most, device)

    def gather(span: Span) -> Tensor:
        buffer = uploads.take()
        flat, start = buffer.numpy(), 0
        for views, count in groups:
            for i in range(span[0] * count, span[1] * count):
                crop = cropped(images[views.images[i]], views.crops, i)
                flat[start : start + crop.size].reshape(crop.shape)[...] = crop
                start += crop.size
        return buffer

    for first, buffer in zip(firsts, prefetch(gather, spans, job.workers), strict=True):
        yield uploads.send(buffer), first[:-1]


def _tail(width: NDArray[Any]) -> int:
    """Bytes behind the last pixel that `resized_windows` may read and does not use."""
    return 3 * int(width.max(initial=0))
