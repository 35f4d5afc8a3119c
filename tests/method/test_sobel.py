"""stages/method/sobel.py: the fixed input of the networks: normalisation, grey, the two gradients."""

import numpy as np
import torch

from stages.method.sobel import Normalise, Sobel

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def pictures(rng, n=2, height=6, width=7):
    return rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8)


def normalised(batch):
    return (batch / 255.0 - MEAN[:, None, None]) / STD[:, None, None]


def gradients(grey):
    """Loops over the pixels of one (H, W) picture, zeros outside."""
    horizontal = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    vertical = [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
    height, width = grey.shape
    out = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            for dy in range(3):
                for dx in range(3):
                    row, column = y + dy - 1, x + dx - 1
                    if 0 <= row < height and 0 <= column < width:
                        out[0, y, x] += horizontal[dy][dx] * grey[row, column]
                        out[1, y, x] += vertical[dy][dx] * grey[row, column]
    return out


def test_normalisation_is_imagenets_mean_and_deviation_of_pixels_in_0_to_1():
    batch = pictures(np.random.default_rng(0))
    np.testing.assert_allclose(Normalise()(torch.from_numpy(batch)), normalised(batch), atol=2e-6)


def test_sobel_of_a_ramp_to_the_right_is_minus_eight_steps_and_nothing_upwards():
    ramp = np.broadcast_to(np.arange(5, dtype=np.uint8) * 10, (1, 3, 5, 5)).copy()
    out = Sobel()(torch.from_numpy(ramp))[0].numpy()
    # One pixel to the right adds 10/255 to each channel, so 10/255 * mean(1 / std) to the grey.
    step = 10 / 255 * (1 / 0.229 + 1 / 0.224 + 1 / 0.225) / 3
    np.testing.assert_allclose(out[0, 1:-1, 1:-1], -8 * step, rtol=1e-5)
    np.testing.assert_allclose(out[1, 1:-1, 1:-1], 0, atol=1e-6)


def test_sobel_of_a_ramp_downwards_is_minus_eight_steps_in_the_second_channel():
    ramp = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None] * 10, (1, 3, 5, 5)).copy()
    out = Sobel()(torch.from_numpy(ramp))[0].numpy()
    step = 10 / 255 * (1 / 0.229 + 1 / 0.224 + 1 / 0.225) / 3
    np.testing.assert_allclose(out[1, 1:-1, 1:-1], -8 * step, rtol=1e-5)
    np.testing.assert_allclose(out[0, 1:-1, 1:-1], 0, atol=1e-6)


def test_sobel_equals_loops_over_pixels_with_zeros_around_the_picture():
    batch = pictures(np.random.default_rng(1))
    expected = np.stack([gradients(grey) for grey in normalised(batch).mean(1)])
    np.testing.assert_allclose(Sobel()(torch.from_numpy(batch)), expected, atol=5e-6)


def test_sobel_equals_the_reference_pair_of_convolutions():
    """The authors' layers: 1x1 to grey with weights 1/3, then 3x3 to two gradients."""
    grey = torch.nn.Conv2d(3, 1, 1, dtype=torch.float64)
    filters = torch.nn.Conv2d(1, 2, 3, padding=1, dtype=torch.float64)
    with torch.no_grad():
        grey.weight.fill_(1 / 3)
        filters.weight[0, 0] = torch.tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
        filters.weight[1, 0] = torch.tensor([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])
        grey.bias.zero_()
        filters.bias.zero_()
        batch = pictures(np.random.default_rng(2), height=16, width=11)
        expected = filters(grey(torch.from_numpy(normalised(batch))))
    np.testing.assert_allclose(Sobel()(torch.from_numpy(batch)), expected, atol=5e-6)


def test_sobel_is_frozen_and_no_part_of_a_checkpoint():
    sobel = Sobel()
    assert list(sobel.parameters()) == []
    assert sobel.state_dict() == {}


def test_sobel_is_not_rounded_to_half_precision():
    batch = torch.from_numpy(pictures(np.random.default_rng(3)))
    sobel = Sobel()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = sobel(batch)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, sobel(batch))
