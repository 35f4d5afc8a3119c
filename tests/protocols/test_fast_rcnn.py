"""stages/protocols/fast_rcnn.py: regions, losses and steps against plain versions, and what is trained."""

import numpy as np
import pytest
import torch
from voc_helpers import CLASSES, SAMPLING, changed, detector, network, regions, squares, state_of

from stages.errors import Refusal
from stages.protocols.boxes import OffsetScale, iou
from stages.protocols.detecting import Keeping, detect
from stages.protocols.fast_rcnn import FROZEN, FastRCNN, detection_step, losses
from stages.protocols.picture_scales import PictureScales
from stages.protocols.plain_network import named_layers
from stages.protocols.roi_sampling import RoISampling, candidates, draw_regions, training_scale

IDENTITY = OffsetScale(np.zeros((CLASSES + 1, 4)), np.ones((CLASSES + 1, 4)))


def build(architecture="alexnet", **options):
    generator = torch.Generator().manual_seed(0)
    made = FastRCNN(network(architecture, **options), CLASSES, fc="run", scale=IDENTITY, generator=generator)
    return made.eval()


def plain_losses(scores, offsets, labels, targets):
    """Girshick 2015, Eq. 1 to 3, region by region in float64."""
    classes = boxes = 0.0
    for score, offset, label, target in zip(scores, offsets, labels, targets, strict=True):
        classes -= score[label] - np.log(np.exp(score).sum())
        if label > 0:
            for x in offset[label] - target:
                boxes += 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5
    return classes / len(labels), boxes / len(labels)


def test_losses_are_the_equations():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 40)
    scores, offsets, targets = rng.normal(size=(40, 4)), rng.normal(0, 2, (40, 4, 4)), rng.normal(size=(40, 4))
    assert (np.abs(offsets) > 2).any(), "both branches of the smooth loss"
    found = losses(*(torch.from_numpy(part) for part in (scores, offsets, labels, targets)))
    assert [float(part) for part in found] == pytest.approx(plain_losses(scores, offsets, labels, targets), rel=1e-5)


def test_background_has_no_box():
    offsets = torch.randn(6, 3, 4, requires_grad=True)
    _, boxes = losses(torch.zeros(6, 3), offsets, torch.zeros(6, dtype=torch.int64), torch.randn(6, 4))
    boxes.backward()
    assert boxes.item() == 0 and not offsets.grad.any()


@pytest.mark.parametrize(("architecture", "stride"), [("alexnet", 16), ("vgg16", 16)])
def test_the_map_has_a_cell_every_16_pixels(architecture, stride):
    model = build(architecture)
    assert model.stride == stride
    rng = np.random.default_rng(0)
    maps = model.maps([rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)])
    assert maps.shape[2:] == (6, 8)


def test_alexnets_cells_are_centred_on_multiples_of_16():
    """A wide flat picture with one bright pixel changes the cells whose centre is nearest to it the same both ways."""
    model = build()
    for layer in model.convolutions:
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.fill_(1)
            layer.bias.data.zero_()
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_parameters()
    seen = torch.zeros(1, 2, 16, 401, requires_grad=True)
    out = model.convolutions(seen + 1)
    # Pixels that the cell 12 looks at: as many on one side of 12 * 16 as on the other.
    out[0, 0, 0, 12].backward(retain_graph=True)
    reach = []
    for pixel in range(401):
        lit = torch.zeros(1, 2, 16, 401)
        lit[..., pixel] = 1
        with torch.no_grad():
            if model.convolutions(lit)[0, 0, 0, 12] > 0:
                reach.append(pixel)
    assert reach == list(range(reach[0], reach[-1] + 1)) and len(reach) > 100
    assert (reach[0] + reach[-1]) / 2 == 12 * 16


def plain_pool(maps, roi, side, stride):
    """Girshick 2015, section 2.1: the largest value of each of side x side parts of a region."""
    x1, y1, x2, y2 = (int(np.floor(value / stride + 0.5)) for value in roi[1:])
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    out = np.zeros((maps.shape[1], side, side))
    for row in range(side):
        for column in range(side):
            top, bottom = int(row * height / side) + y1, int(np.ceil((row + 1) * height / side)) + y1
            left, right = int(column * width / side) + x1, int(np.ceil((column + 1) * width / side)) + x1
            part = maps[int(roi[0]), :, max(top, 0) : bottom, max(left, 0) : right]
            if part.size:
                out[:, row, column] = part.max((1, 2))
    return out


@pytest.mark.parametrize(("input", "side"), [(64, 1), (224, 6)])
def test_scores_are_the_hidden_layers_of_the_pooled_region(input, side):
    model = build(input=input)
    assert model.side == side
    pictures = [np.random.default_rng(i).integers(0, 256, (130, 170, 3), dtype=np.uint8) for i in range(2)]
    rois = np.array([[0, 3, 5, 160, 120], [1, 40, 30, 90, 80], [0, 100, 90, 101, 91], [1, 0, 0, 169, 129]], np.float32)
    with torch.no_grad():
        maps = model.maps(pictures)
        scores, offsets = model(pictures, torch.from_numpy(rois))
    assert offsets.shape == (4, CLASSES + 1, 4)

    def dense(layer, x):
        return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()

    for number, roi in enumerate(rois):
        hidden = plain_pool(maps.double().numpy(), roi, side, 16).ravel()
        for layer in (model.fc6, model.fc7):
            hidden = np.maximum(dense(layer, hidden), 0)
        np.testing.assert_allclose(scores[number], dense(model.score, hidden), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(offsets[number].ravel(), dense(model.offset, hidden), rtol=1e-4, atol=1e-6)


def test_a_smaller_picture_beside_a_larger_one_keeps_its_own_cells():
    model = build()
    small, large = (
        np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        for i, shape in enumerate([(96, 112, 3), (160, 192, 3)])
    )
    with torch.no_grad():
        alone, both = model.maps([small]), model.maps([small, large])
    assert both.shape == (2, 16 * 2, 10, 12)
    # Far enough from the zeros on its right and below that they are out of sight of conv1.
    torch.testing.assert_close(both[0, :, :1, :1], alone[0, :, :1, :1], rtol=1e-4, atol=1e-4)


LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5"]


@pytest.mark.parametrize(
    ("architecture", "trained", "frozen", "expected"),
    [
        ("alexnet", "fc6-8", FROZEN["alexnet"], []),
        ("alexnet", "all", FROZEN["alexnet"], LAYERS[1:]),
        ("alexnet", "all", (), LAYERS),
        ("vgg16", "fc6-8", FROZEN["vgg16"], []),
        ("vgg16", "all", FROZEN["vgg16"], LAYERS[2:]),
    ],
)
def test_training_changes_exactly_the_layers_that_it_may(architecture, trained, frozen, expected):
    learner = detector(trained, frozen, architecture, lr=0.01)
    before = state_of(learner.model)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        detection_step(learner, *regions(learner, rng), rng)
    heads = {f"{layer}.{part}" for layer in ("fc6", "fc7", "score", "offset") for part in ("weight", "bias")}
    layers = named_layers(learner.model.convolutions)
    names = {id(value): f"convolutions.{name}" for name, value in learner.model.convolutions.named_parameters()}
    convolutions = {names[id(value)] for layer in expected for module in layers[layer] for value in module.parameters()}
    # The state holds the statistics of batch normalisation too, and they are not among what has changed.
    assert "convolutions.1.running_mean" in before
    assert changed(before, state_of(learner.model)) == heads | convolutions


def test_hidden_layers_of_the_run_or_drawn_anew():
    run = network()
    learner = detector(fc="run")
    assert torch.equal(learner.model.fc6.weight, run.classifier[2].weight)
    drawn = detector(fc="random")
    assert not torch.equal(drawn.model.fc6.weight, run.classifier[2].weight)
    assert torch.equal(drawn.model.convolutions[0].weight, run.convolutions[0].weight)
    assert torch.equal(detector(fc="random").model.fc6.weight, drawn.model.fc6.weight)
    for layer, std in ((learner.model.score, 0.01), (learner.model.offset, 0.001)):
        assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.1) and not layer.bias.any()


def test_residual_networks_are_refused():
    with pytest.raises(Refusal, match="end in an average lack"):
        build("resnet18", width=1.0)


def test_a_step_follows_its_generator_alone():
    def weights(seeds, disturb=False):
        learner = detector()
        for seed in seeds:
            if disturb:
                torch.manual_seed(99)
            rng = np.random.default_rng(seed)
            detection_step(learner, *regions(learner, rng), rng)
        return state_of(learner.model)

    assert not changed(weights([1, 2]), weights([1, 2], disturb=True))
    assert changed(weights([1, 2]), weights([1, 3]))


def test_dropout_is_after_both_hidden_layers_and_in_training_alone():
    learner = detector(dropout=0.5)
    learner.model.eval()
    calls = []
    learner.model.dropout.register_forward_hook(lambda module, inputs, out: calls.append((module.training, out)))
    rng = np.random.default_rng(0)
    pictures, drawn = regions(learner, rng)
    detection_step(learner, pictures, drawn, rng)
    assert [training for training, _ in calls] == [True, True]
    assert all(float((out == 0).float().mean()) > 0.4 for _, out in calls)
    assert not any(m.training for m in learner.model.convolutions.modules())


def test_two_pictures_are_learnt_by_heart():
    """Each object, a box beside it, and three boxes that hold nothing, on different cells of the small map."""
    pictures, boxes, labels, _ = squares()
    beside = boxes + np.array([[4, 0, 4, 0], [-8, 0, -8, 0]])
    empty = [[[40, 40, 60, 60], [0, 44, 20, 63], [44, 0, 63, 20]], [[0, 0, 20, 20], [40, 0, 63, 14], [0, 40, 14, 63]]]
    found = [
        candidates(np.vstack([beside[[i]], empty[i]]), boxes[[i]], labels[[i]], np.zeros(1, bool)) for i in range(2)
    ]
    sampling = RoISampling(regions=8, background_iou=(0.0, 0.3))
    scale = training_scale(found, CLASSES, sampling, flips=False)
    learner = detector(lr=0.002, dropout=0.0, scale=scale)
    measured = []
    for update in range(80):
        rng = np.random.default_rng(update)
        drawn = draw_regions(found, [1.0, 1.0], scale, sampling, rng)
        measured.append([float(part) for part in detection_step(learner, pictures, drawn, rng)])
    start, end = np.mean(measured[:3], axis=0), np.mean(measured[-3:], axis=0)
    assert end[0] < 0.05 * start[0] and end[1] < 0.1 * start[1]
    # The proposal beside each object, and none of the empty ones, becomes a detection at the object's place.
    for number in range(2):
        proposals = np.vstack([beside[[number]], empty[number]])
        seen = detect(learner.model, pictures[number], proposals, PictureScales((64,), 64), Keeping(score=0.5))
        assert seen.label.tolist() == [labels[number]]
        assert iou(seen.box, boxes[[number]])[0, 0] > iou(beside[[number]], boxes[[number]])[0, 0] + 0.05


def test_mirrored_pictures_are_trained_on_as_their_copies():
    rng = np.random.default_rng(0)
    first, second = detector(), detector()
    shown, drawn = regions(first, rng, flips=(True, False))
    detection_step(first, shown, drawn, np.random.default_rng(5))
    detection_step(second, [np.ascontiguousarray(p) for p in shown], drawn, np.random.default_rng(5))
    assert not changed(state_of(first.model), state_of(second.model))
    assert drawn.rois.shape == (2 * SAMPLING.regions, 5) and len(squares()[0]) == 2


def test_bf16_gives_about_the_same_losses():
    exact, rough = detector(dropout=0.0), detector(dropout=0.0)
    pictures, drawn = regions(exact, np.random.default_rng(0))
    expected = detection_step(exact, pictures, drawn, np.random.default_rng(0))
    found = detection_step(rough, pictures, drawn, np.random.default_rng(0), "bf16")
    assert [float(part) for part in found] == pytest.approx([float(part) for part in expected], rel=0.05)
    assert all(value.dtype == torch.float32 for value in rough.model.parameters())
