"""stages/protocols/fcn.py: the network of the run on every square, the loss, and what is trained."""

import numpy as np
import pytest
import torch
from voc_helpers import CLASSES, changed, network, segmenter, squares, state_of

from stages.errors import Refusal
from stages.protocols.confusion import confusion, segmentation_scores
from stages.protocols.fcn import FCN, loss, segment, segmentation_step
from stages.protocols.plain_network import named_layers, to_tensor

CPU = torch.device("cpu")


def examples(number=None):
    pictures, _, _, masks = squares()
    both = list(zip(pictures, masks, strict=True))
    return both if number is None else [both[number]]


@pytest.mark.parametrize(
    ("architecture", "input", "padding"), [("alexnet", 64, 2), ("alexnet", 224, 90), ("vgg16", 224, 100)]
)
def test_hidden_layers_are_those_of_the_run_on_a_square(architecture, input, padding):
    """With the padding of the run, a picture of the run's size has one cell, with the run's features in it."""
    run = network(architecture, input=input).eval()
    model = FCN(run, 3, fc="run", padding=padding, generator=torch.Generator()).eval()
    picture = np.random.default_rng(0).integers(0, 256, (input, input, 3), dtype=np.uint8)
    own = run.convolutions[0].padding[0]
    with torch.no_grad():
        expected = run(to_tensor(picture, CPU))
        seen = torch.nn.functional.pad(model.input(to_tensor(picture, CPU)), [own] * 4)
        found = model.fc7(torch.relu(model.fc6(model.convolutions(seen)))).relu()
    assert found.shape == (1, run.dim, 1, 1)
    torch.testing.assert_close(found[..., 0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 97), (40, 130)])
def test_there_is_a_score_for_each_pixel_and_class(size):
    model = segmenter().model
    torch.nn.init.ones_(model.score.bias)
    pictures = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    out = model(pictures)
    assert out.shape == (1, CLASSES + 1, *size) and bool((out > 0).all())


@pytest.mark.parametrize(("architecture", "input"), [("alexnet", 64), ("vgg16", 32), ("alexnet", 224)])
def test_the_output_is_where_the_input_is(architecture, input):
    """What moves by a cell in the picture moves by the same pixels in the scores, and lies where it lay."""
    model = FCN(network(architecture, input=input), 2, fc="run", generator=torch.Generator(), padding=100).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.fill_(1 / module.weight[0].numel())
            module.bias.data.zero_()
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()
            module.reset_running_stats()
    model.input = torch.nn.Identity()
    centres = []
    for left in (384, 400, 416):
        lit = torch.zeros(1, 2, 64, 832)
        lit[..., left : left + 32] = 1
        with torch.no_grad():
            row = model(lit)[0, 0].double().sum(0)
        centres.append(float((row * torch.arange(832)).sum() / row.sum()))
    # The bright stripe's centre is at left + 15.5; poolings blur it, by a cell and alike on both sides.
    assert centres == pytest.approx([399.5, 415.5, 431.5], abs=8)
    assert centres[2] - centres[0] == pytest.approx(32)


def test_scores_start_at_zero_and_the_loss_at_chance():
    learner = segmenter()
    found = segmentation_step(learner, examples(0), np.random.default_rng(0))
    assert float(found) == pytest.approx(np.log(CLASSES + 1))


def test_the_loss_is_the_mean_over_pixels_that_are_not_void():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(1, 4, 5, 6)), rng.integers(0, 4, (1, 5, 6))
    labels[0, 2:4, :3] = 255
    terms = [
        np.log(np.exp(scores[0, :, y, x]).sum()) - scores[0, labels[0, y, x], y, x]
        for y in range(5)
        for x in range(6)
        if labels[0, y, x] != 255
    ]
    assert len(terms) == 24
    assert float(loss(torch.from_numpy(scores), torch.from_numpy(labels))) == pytest.approx(np.mean(terms))
    assert float(loss(torch.from_numpy(scores), torch.full((1, 5, 6), 255))) == 0


def test_an_update_follows_the_mean_gradient_of_its_pictures():
    learner = segmenter(dropout=0.0)
    torch.nn.init.normal_(learner.model.score.weight, generator=torch.Generator().manual_seed(0))
    learner.model.train()
    values = [p for p in learner.model.parameters() if p.requires_grad]
    expected = [torch.zeros_like(value) for value in values]
    for picture, labels in examples():
        scores = learner.model(to_tensor(picture, CPU))
        one = loss(scores, torch.from_numpy(labels.astype(np.int64))[None])
        for total, gradient in zip(expected, torch.autograd.grad(one, values), strict=True):
            total += gradient / 2
    seen = []
    update, learner.update = learner.update, lambda: seen.extend(value.grad.clone() for value in values) or update()
    segmentation_step(learner, examples(), np.random.default_rng(0))
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-7)
    assert learner.updates == 1


@pytest.mark.parametrize("architecture", ["alexnet", "vgg16"])
@pytest.mark.parametrize(("trained", "frozen"), [("fc6-8", []), ("all", []), ("all", ["conv1"])])
def test_training_changes_exactly_the_layers_that_it_may(architecture, trained, frozen):
    learner = segmenter(trained, frozen, architecture, lr=0.01)
    before = state_of(learner.model)
    for seed in range(3):
        segmentation_step(learner, examples(), np.random.default_rng(seed))
    convolutions = learner.model.convolutions
    kept = {id(v) for name in frozen for m in named_layers(convolutions)[name] for v in m.parameters()}
    moved = {
        f"convolutions.{name}" for name, v in convolutions.named_parameters() if trained == "all" and id(v) not in kept
    }
    heads = {f"{layer}.{part}" for layer in ("fc6", "fc7", "score") for part in ("weight", "bias")}
    assert changed(before, state_of(learner.model)) == heads | moved


def test_hidden_layers_of_the_run_or_drawn_anew():
    run = network()
    side_one = run.classifier[2].weight[..., None, None]
    assert torch.equal(segmenter(fc="run").model.fc6.weight, side_one)
    assert not torch.equal(segmenter(fc="random").model.fc6.weight, side_one)
    assert torch.equal(segmenter(fc="random").model.fc6.weight, segmenter(fc="random").model.fc6.weight)


def test_residual_networks_and_too_little_padding_are_refused():
    with pytest.raises(Refusal, match="end in an average lack"):
        FCN(network("resnet18", width=1.0), 3, fc="run", generator=torch.Generator())
    with pytest.raises(Refusal, match="padding: 1 leaves the picture's first pixels unseen; this network needs 2"):
        segmenter(padding=1)


def test_a_step_follows_its_generator_alone():
    def weights(seeds, disturb=False):
        learner = segmenter(lr=0.01)
        for seed in seeds:
            if disturb:
                torch.manual_seed(99)
            segmentation_step(learner, examples(), np.random.default_rng(seed))
        return state_of(learner.model)

    assert not changed(weights([1, 2]), weights([1, 2], disturb=True))
    assert changed(weights([1, 2]), weights([1, 3]))


def test_a_stopped_learner_goes_on_as_if_it_had_not_stopped():
    whole, stopped, resumed = segmenter(lr=0.01), segmenter(lr=0.01), segmenter(lr=0.01, fc="random")
    for update in range(3):
        segmentation_step(whole, examples(), np.random.default_rng(update))
    segmentation_step(stopped, examples(), np.random.default_rng(0))
    segment(stopped.model, examples()[0][0])
    resumed.load(stopped.state())
    for update in (1, 2):
        segmentation_step(resumed, examples(), np.random.default_rng(update))
    torch.testing.assert_close(whole.state(), resumed.state(), rtol=0, atol=0)


def test_two_pictures_are_learnt_by_heart():
    learner = segmenter(lr=0.003, dropout=0.0)
    measured = [float(segmentation_step(learner, examples(), np.random.default_rng(u))) for u in range(100)]
    assert measured[-1] < 0.2 * measured[0]
    matrix = sum(confusion(mask, segment(learner.model, picture), 3) for picture, mask in examples())
    assert segmentation_scores(matrix).mean_iou > 0.5


def test_bf16_gives_about_the_same_loss():
    exact, rough = segmenter(dropout=0.0, lr=0.01), segmenter(dropout=0.0, lr=0.01)
    for update in range(3):
        expected = float(segmentation_step(exact, examples(), np.random.default_rng(update)))
        found = float(segmentation_step(rough, examples(), np.random.default_rng(update), "bf16"))
    assert found == pytest.approx(expected, rel=0.02)
    assert all(value.dtype == torch.float32 for value in rough.model.parameters())
