"""stages/init.py by `recipe: deepcluster-v2`: batch normalisation begins with the statistics of pictures."""

import hashlib

import numpy as np
import torch
from stage_helpers import RUN, change, epoch, run_one
from v2_helpers import N

from stages.artifacts.checkpoints import build
from stages.artifacts.pictures import PackedImages
from stages.artifacts.run_params import load_run_params
from stages.artifacts.weights import Training, write_backbone
from stages.method.networks import initialise, settle
from stages.parameters.model import ModelParams

WHERE = "epochs/0000"


def made(project):
    return torch.load(epoch(project, "checkpoint.pt", WHERE), weights_only=True)["network"]


def statistics(state):
    return {name: value for name, value in state.items() if name.endswith(("running_mean", "running_var"))}


def fresh_statistics(project):
    return statistics(build(load_run_params(project.root / RUN).model).state_dict())


def seen(project):
    images = PackedImages(project.root / "data/images/demo")
    side = load_run_params(project.root / RUN).model.input
    return torch.from_numpy(np.stack([images.centre_crop(i, side) for i in range(N)])).permute(0, 3, 1, 2)


def test_each_layer_begins_with_mean_0_and_variance_1_over_the_pictures(finished_v2):
    """Up to what the batch that it saw them in changes before."""
    params = load_run_params(finished_v2.root / RUN)
    network = build(params.model)
    network.load_state_dict(made(finished_v2))
    pictures, outputs = seen(finished_v2), []
    norms = [module for module in network.eval().modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda *call: outputs.append(call[2].clone()))
    with torch.no_grad():
        network.features(pictures)
    assert len(outputs) == len(norms) > 3
    for output in outputs:
        over = [0, *range(2, output.ndim)]
        used = output.std(over) > 0.1
        assert used.float().mean() > 0.9
        assert output.mean(over)[used].abs().max() < 0.1
        assert (output.std(over)[used] - 1).abs().max() < 0.1


def test_vectors_of_an_untrained_network_lie_apart(finished_v2):
    """With the statistics of no picture, the cosine of any two is near 1."""
    found = []
    for state in (made(finished_v2), made(finished_v2) | fresh_statistics(finished_v2)):
        network = build(load_run_params(finished_v2.root / RUN).model).eval()
        network.load_state_dict(state)
        with torch.no_grad():
            rows = network.features(seen(finished_v2))
        found.append(float((rows @ rows.T).mean()))
    assert found[0] < 0.9 * found[1]


def test_a_file_of_weights_keeps_its_statistics_and_the_projection_gets_its_own(v2_copy):
    model = load_run_params(v2_copy.root / RUN).model
    network = build(model)
    initialise(network, torch.Generator().manual_seed(17))
    bare = {name: value for name, value in network.state_dict().items() if not name.startswith("projection.")}
    path = v2_copy.path("data/weights/mine.safetensors")
    path.parent.mkdir()
    write_backbone(path, model, bare, Training("elsewhere", 3, "kmeans", None))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change(v2_copy, {"init": {"weights": "data/weights/mine.safetensors", "sha256": digest}})
    run_one(v2_copy, "init", "")
    found = made(v2_copy)
    assert all(
        torch.equal(found[name], value) for name, value in bare.items() if not name.endswith("num_batches_tracked")
    )
    assert found["projection.1.running_mean"].abs().max() > 0
    assert not torch.equal(found["projection.1.running_var"], torch.ones_like(found["projection.1.running_var"]))


def test_it_comes_again(v2_copy):
    before = epoch(v2_copy, "checkpoint.pt", WHERE).read_bytes()
    run_one(v2_copy, "init", "")
    assert epoch(v2_copy, "checkpoint.pt", WHERE).read_bytes() == before


def test_settling_takes_the_mean_over_batches_and_leaves_the_weights():
    network = build(ModelParams(architecture="convnet", sobel=False, input=16, width=1 / 8))
    initialise(network, torch.Generator().manual_seed(0))
    weights = [parameter.clone() for parameter in network.parameters()]
    pictures = torch.randint(256, (12, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    first = network.convolutions[:1]
    with torch.no_grad():
        means = [first(network.input(part)).mean((0, 2, 3)) for part in (pictures[:8], pictures[8:])]
    settle(network, network, [pictures[:8], pictures[8:]])
    torch.testing.assert_close(network.convolutions[1].running_mean, (means[0] + means[1]) / 2)
    assert network.convolutions[1].momentum == 0.1
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))
