"""stages/method/features.py: the features of a batch are the network's, refused where they are no numbers."""

import numpy as np
import pytest
import torch

from stages.artifacts.checkpoints import build
from stages.errors import Refusal
from stages.method.features import check_features, embed
from stages.method.networks import initialise, place
from stages.parameters.model import ModelParams

MODEL = ModelParams(architecture="alexnet", sobel=True, input=64, width=1 / 16)


def network():
    model = build(MODEL)
    initialise(model, torch.Generator().manual_seed(0))
    return place(model.eval(), torch.device("cpu"))


def pictures(n=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)


def embedded(model, batch, precision="float32"):
    return embed(model, [torch.from_numpy(batch).permute(0, 3, 1, 2)], precision).numpy()


def test_features_are_those_of_the_second_hidden_layer_without_its_relu():
    model, batch = network(), pictures()
    seen = []
    model.classifier[-1].register_forward_hook(lambda *call: seen.append(call[2]))
    features = embedded(model, batch)
    assert isinstance(model.classifier[-1], torch.nn.Linear)
    assert features.shape == (5, 256) and features.dtype == np.float32
    np.testing.assert_array_equal(features, seen[0].numpy())
    assert (features < 0).any()


def test_pictures_with_channels_last_are_read_as_the_network_wants_them():
    model, batch = network(), pictures()
    with torch.inference_mode():
        expected = model.features(torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))))
    np.testing.assert_allclose(embedded(model, batch), expected, rtol=1e-4, atol=1e-6)


def test_a_picture_has_the_same_features_in_any_batch():
    """In evaluation mode no batch statistics and no dropout reach the features."""
    model, batch = network(), pictures()
    one_by_one = np.concatenate([embedded(model, batch[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, embedded(model, batch), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(embedded(model, batch), embedded(model, batch))


def test_bf16_gives_float32_arrays_close_to_the_features():
    model, batch = network(), pictures()
    exact, rough = embedded(model, batch), embedded(model, batch, "bf16")
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    assert np.linalg.norm(exact - rough) < 0.03 * np.linalg.norm(exact)


def test_features_of_several_views_are_their_mean():
    model, views = network(), [pictures(seed=seed) for seed in (0, 1, 2)]
    found = embed(model, [torch.from_numpy(view).permute(0, 3, 1, 2) for view in views], "float32").numpy()
    expected = np.mean([embedded(model, view) for view in views], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_that_are_not_finite_are_refused(value, dtype):
    features = np.ones((3, 4), np.float32)
    features[1, 2] = value
    with pytest.raises(Refusal, match=r"train\.lr"):
        check_features(features, dtype)


@pytest.mark.parametrize("value", [65520.0, -1e6])
def test_features_that_overflow_float16_are_refused_and_fit_float32(value):
    features = np.full((3, 4), value, np.float32)
    with pytest.raises(Refusal, match=r"extract\.dtype"):
        check_features(features, "float16")
    np.testing.assert_array_equal(check_features(features, "float32"), features)


def test_float16_is_stored_where_it_fits():
    features = np.array([[1.5, -65504.0, 1e-3]], np.float32)
    stored = check_features(features, "float16")
    assert stored.dtype == np.float16
    np.testing.assert_allclose(stored, features, rtol=1e-3)
