"""stages/protocols/alignment.py: where cells lie, against pixels that are lit one by one and Caffe's own numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from network_helpers import small
from torch import nn
from torch.nn import functional as F

from stages.errors import Refusal
from stages.protocols.alignment import Grid, Window, grid, least_side, windows
from stages.protocols.plain_network import take_apart

NETWORKS = {"alexnet": ("alexnet", 224), "vgg16": ("vgg16", 224), "demo": ("alexnet", 64), "small vgg16": ("vgg16", 32)}


def layers_of(name):
    """All that lies between the picture and fc6's cells, fc6 a convolution, and the first one without padding."""
    architecture, input = NETWORKS[name]
    parts = take_apart(small(architecture, input=input, width=1 / 32))
    layers = nn.Sequential(*parts.convolutions, parts.pool, nn.Conv2d(1, 1, parts.side))
    layers[0].padding = (0, 0)
    return layers


def seen_by(layers, pixels, size):
    """Whether cells of a row see each lit pixel: (pixels, cells), by the layers themselves with weights of 1."""
    plain = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            plain.append(nn.Conv2d(1, 1, (1, layer.kernel_size[1]), (1, layer.stride[1]), (0, layer.padding[1])))
            nn.init.ones_(plain[-1].weight)
            nn.init.zeros_(plain[-1].bias)
        elif isinstance(layer, nn.MaxPool2d):
            plain.append(nn.MaxPool2d((1, layer.kernel_size), (1, layer.stride), (0, layer.padding)))
    lit = torch.zeros(len(pixels), 1, 1, size, dtype=torch.float64)
    lit[range(len(pixels)), :, :, pixels] = 1
    with torch.no_grad():
        return nn.Sequential(*plain).double()(lit)[:, 0, 0] > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cell_is_centred_on_what_it_sees(name):
    layers, padding = layers_of(name), 100
    found = windows(layers)
    size = least_side(found, 16)
    seen = seen_by(layers, list(range(size)), size)
    assert seen.shape[1] == 16
    first, step = grid(found, padding)
    assert step == 32
    # The cells in the middle: zeros that layers add themselves are beyond what these see.
    for cell in range(6, 10):
        pixels = seen[:, cell].nonzero().ravel()
        assert (int(pixels[0]) + int(pixels[-1])) / 2 - padding == first + cell * step


@pytest.mark.parametrize("name", NETWORKS)
def test_the_least_side_gives_so_many_cells_and_a_pixel_less_one_less(name):
    layers = layers_of(name)
    found = windows(layers)
    for cells in (1, 2, 5):
        side = least_side(found, cells)
        assert seen_by(layers, [0], side).shape[1] == cells
        if cells > 1:
            assert seen_by(layers, [0], side - 1).shape[1] == cells - 1


@pytest.mark.parametrize(("name", "kernel", "offset"), [("alexnet", 63, 18), ("vgg16", 64, 19)])
def test_full_networks_have_the_crop_of_the_released_fcns(name, kernel, offset):
    """FCN's prototxts: a transposed convolution of that kernel and a stride of 32, cropped by that offset."""
    centred = grid(windows(layers_of(name)), 100)
    cells, side = 9, 250
    scores = torch.randn(1, 1, cells, cells, generator=torch.Generator().manual_seed(0))
    middle = (kernel - 1) / 2
    ramp = 1 - (torch.arange(kernel) - middle).abs() / 32
    whole = F.conv_transpose2d(scores, (ramp[:, None] * ramp)[None, None], stride=32)
    crop = whole[..., offset : offset + side, offset : offset + side - 30]
    found = centred.weights(side, cells) @ scores @ centred.weights(side - 30, cells).T
    torch.testing.assert_close(found, crop)


@pytest.mark.parametrize("name", NETWORKS)
@given(side=st.integers(1, 700), more=st.integers(0, 70))
def test_every_pixel_lies_between_cells_and_the_end_is_seen_as_the_start(name, side, more):
    layers = windows(LAYERS[name])
    padding = LEAST[name] + more
    centred = grid(layers, padding)
    cells = centred.cells(side)
    weights = centred.weights(side, cells)
    assert (weights.sum(1) > 0).all() and float(weights.sum(1).max()) <= 1
    last = centred.first + centred.step * (cells - 1)
    assert cells == 1 or last >= side - 1 - centred.first > last - centred.step
    # The zeros that are added after the end are no fewer than before the start, and by less than a cell more.
    after = least_side(layers, cells) - side - padding
    assert after >= padding
    if cells > 1:
        assert after < padding + centred.step


LAYERS = {name: layers_of(name) for name in NETWORKS}
LEAST = {"alexnet": 82, "vgg16": 81, "demo": 2, "small vgg16": 0}


@pytest.mark.parametrize("name", NETWORKS)
def test_too_little_padding_is_refused_and_the_least_is_named(name):
    layers = windows(LAYERS[name])
    centred = grid(layers, LEAST[name])
    assert float(centred.weights(100, centred.cells(100))[0].sum()) > 0
    if LEAST[name]:
        with pytest.raises(Refusal, match=f"this network needs {LEAST[name]}"):
            grid(layers, LEAST[name] - 1)


def test_weights_of_a_case_worked_by_hand():
    # Cells on the pixels -1 and 3.
    expected = [[0.75, 0], [0.5, 0.5], [0.25, 0.75], [0, 1], [0, 0.75]]
    found = Grid(-1, 4).weights(5, 2)
    assert found.tolist() == [[0.75, 0.25], *expected[1:]]
    assert grid([Window(3, 1, 1), Window(2, 2, 0)], 0) == Grid(0.5, 2)
