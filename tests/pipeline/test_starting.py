"""pipeline/starting.py: what a new run begins with is read, or fetched, before anything of the run is written."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from foreign_helpers import of_torchvision
from network_helpers import small
from pipeline_helpers import content_of
from stage_helpers import folder_of_pictures, refused

from pipeline.preparing import Prepared, Request, prepare
from pipeline.starting import _digest_in
from stages.artifacts.weights import Training, write_backbone
from stages.method.foreign import TORCHVISION
from stages.parameters.model import ModelParams

TRAINING = Training("elsewhere", 3, "kmeans", None)
NARROW = ModelParams(architecture="alexnet", sobel=True, input=112, width=1 / 64)
"""Fewer features than there are dimensions to keep, and another input than any preset has."""


@pytest.fixture
def project(make_project) -> Any:
    return make_project(plan=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder_of_pictures(tmp_path_factory.mktemp("starting") / "photos", 300, side=72)


@pytest.fixture
def narrow(tmp_path) -> Path:
    path = tmp_path / "narrow.safetensors"
    write_backbone(path, NARROW, small("alexnet", width=1 / 64, input=112).state_dict(), TRAINING)
    return path


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(of_torchvision("resnet18").state_dict(), path)
    return path


def begun(project: Any, weights: Path | str, **options: Any) -> Prepared:
    return prepare(project.root, Request("mine", weights=str(weights), **options), elsewhere=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_network_and_pictures_are_those_of_the_weights_whatever_the_device(project, photos, narrow, device):
    prepared = begun(project, narrow, images=photos, sets=[f"device={device}"])
    params = prepared.params
    assert params.model == NARROW
    assert (params.dataset.size, params.whiten.dim) == (128, 64)
    assert params.init.weights == str(narrow) and params.init.sha256 == sha256(narrow)
    # 20 (300 / 200) ** .71, as without weights.
    assert params.cluster.k == 35
    assert f"run mine: begins with {narrow}: alexnet of Sobel filters, input 112" in prepared.lines[1]
    prepared.settings.save()
    run = content_of(project.root)["runs"]["mine"]
    assert run["init"] == {"weights": str(narrow), "sha256": sha256(narrow)}
    assert run["model"] == NARROW.model_dump(exclude={"projection"})


def test_pictures_are_packed_at_256_for_a_network_that_sees_224(project, photos, resnet18):
    params = begun(project, resnet18, images=photos).params
    assert params.model == ModelParams(architecture="resnet18", sobel=False, input=224, width=1.0)
    assert (params.dataset.size, params.whiten.dim, params.device) == (256, 150, "cpu")


def test_weights_without_pictures_are_a_run_that_is_there_to_be_evaluated(project, narrow):
    prepared = begun(project, narrow, epochs=0)
    assert (prepared.params.dataset, prepared.params.epochs, prepared.params.model) == (None, 0, NARROW)
    assert f"run mine: begins with {narrow}" in prepared.lines[0]
    prepared.settings.save()
    again = begun(project, narrow, epochs=0)
    assert again.params == prepared.params and not again.settings.changed
    assert "there is no run 'other'" in refused(lambda: prepare(project.root, Request("other", weights=str(narrow))))


def test_a_file_inside_the_project_is_written_relative_to_it(project, photos, narrow, monkeypatch):
    shutil.copy(narrow, project.path("inside"))
    monkeypatch.chdir(project.root)
    assert begun(project, "inside", images=photos).params.init.weights == "inside"


def test_the_same_command_goes_on_and_a_moved_file_is_found_by_its_content(project, photos, narrow, tmp_path):
    first = begun(project, narrow, images=photos)
    first.settings.save()
    again = begun(project, narrow, images=photos)
    assert again.params == first.params and not again.settings.changed
    moved = narrow.rename(tmp_path / "moved")
    after = begun(project, moved)
    assert after.params.init.weights == str(moved)
    assert after.params.init.sha256 == first.params.init.sha256
    assert "narrow.safetensors is missing" in refused(lambda: prepare(project.root, Request("mine")))


def test_a_run_keeps_its_weights(project, photos, narrow, resnet18):
    begun(project, narrow, images=photos).settings.save()
    line = refused(lambda: begun(project, resnet18))
    assert f"begins with other weights than {resnet18}: {narrow}; choose another --run" in line
    line = refused(lambda: prepare(project.root, Request("demo", weights=str(narrow))))
    assert "run demo exists already, and begins with random weights" in line


def test_what_init_would_refuse_is_refused_before_a_file_is_touched(project, photos, narrow):
    before = project.tree(), project.path("params.yaml").read_bytes()
    line = refused(lambda: begun(project, narrow, images=photos, sets=["model.sobel=false"]))
    assert line.endswith(": --set model.sobel=true")
    assert "is missing" in refused(lambda: begun(project, "nothing.pth", images=photos))
    assert (project.tree(), project.path("params.yaml").read_bytes()) == before


def test_pictures_that_are_packed_smaller_are_refused_or_suffice(project, narrow, resnet18):
    """The demo's are stored at 72 pixels: too few for hidden layers that see 112, and enough for an average."""
    line = refused(lambda: begun(project, narrow, dataset="demo"))
    assert "sees 112 pixels, and these pictures are packed at 72" in line and "--images" in line
    assert begun(project, resnet18, dataset="demo").params.model.input == 63


def publish(monkeypatch: pytest.MonkeyPatch, file: Path, digest: str) -> list[str]:
    """Makes torchvision publish a file as its resnet18; the addresses that are asked for from then on."""
    asked: list[str] = []
    entry = SimpleNamespace(name="IMAGENET1K_V9", url=f"https://example.org/models/resnet18-{digest[:8]}.pth")

    def download(url: str, path: str, prefix: str, progress: bool) -> None:
        asked.append(url)
        assert digest.startswith(prefix) and len(prefix) == 8
        shutil.copy(file, path)

    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: SimpleNamespace(DEFAULT=entry))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return asked


def test_what_torchvision_publishes_is_fetched_once_and_kept_with_its_version(project, photos, resnet18, monkeypatch):
    digest = sha256(resnet18)
    asked = publish(monkeypatch, resnet18, digest)
    prepared = begun(project, "torchvision:resnet18", images=photos)
    name = f"data/weights/resnet18-{digest[:8]}.pth"
    assert prepared.params.init.model_dump() == {
        "weights": name,
        "sha256": digest,
        "source": "torchvision resnet18 IMAGENET1K_V9",
    }
    assert "(torchvision resnet18 IMAGENET1K_V9)" in prepared.lines[1]
    prepared.settings.save()
    assert project.command("git", "check-ignore", name).returncode == 0
    begun(project, "torchvision:resnet18", images=photos)
    prepare(project.root, Request("other", images=photos, weights="torchvision:resnet18"))
    assert asked == [f"https://example.org/models/resnet18-{digest[:8]}.pth"]
    # In a clone params.yaml has come along, and the file has not.
    project.path(name).unlink()
    assert begun(project, "torchvision:resnet18").params.init.sha256 == digest
    assert len(asked) == 2


def test_without_a_network_the_file_to_fetch_and_the_command_to_give_are_named(project, photos, resnet18, monkeypatch):
    digest = sha256(resnet18)
    publish(monkeypatch, resnet18, digest)

    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    before = project.tree(), project.path("params.yaml").read_bytes()
    sets = ["cluster.k=20"]
    line = refused(lambda: begun(project, "torchvision:resnet18", images=photos, epochs=0, sets=sets))
    path = project.path(f"data/weights/resnet18-{digest[:8]}.pth")
    assert f"https://example.org/models/resnet18-{digest[:8]}.pth cannot be fetched (Name or service" in line
    assert f"put it there as {path}" in line
    command = f"python -m pipeline run --run mine --images {photos} --epochs 0 --set cluster.k=20"
    command += " --weights torchvision:resnet18"
    assert line.endswith(f"then `{command}`")
    assert (project.tree(), project.path("params.yaml").read_bytes()) == before
    # Put there by hand it is used; another file under its name is not.
    shutil.copy(resnet18, path)
    assert begun(project, "torchvision:resnet18", images=photos).params.init.sha256 == digest
    torch.save({name: value + 1 for name, value in torch.load(resnet18).items()}, path)
    assert "is not what its name says" in refused(lambda: begun(project, "torchvision:resnet18", images=photos))


def test_names_that_torchvision_has_and_we_do_not_are_refused(project, photos):
    line = refused(lambda: begun(project, "torchvision:alexnet", images=photos))
    assert "one of torchvision:vgg16_bn, torchvision:resnet18, torchvision:resnet50, or a file" in line


@pytest.mark.parametrize("name", TORCHVISION.values())
def test_torchvision_publishes_each_network_under_a_name_with_its_digest(name):
    published = torchvision.models.get_model_weights(name).DEFAULT
    assert len(_digest_in(published.url.rpartition("/")[2])) == 8
    assert published.name.startswith("IMAGENET1K_V")
