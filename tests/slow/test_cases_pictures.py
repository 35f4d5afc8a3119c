"""Pictures as people have them, each given to a command line in a temporary clone."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from picture_cases import BROKEN, KINDS, NAMES, RAMP, SIDE
from PIL import Image, ImageOps
from projects import Project, small_project, tree
from slow_helpers import Held, assert_refused, assert_same, encoded, noise, pictures, state

from stages.artifacts.pictures import PackedImages

pytestmark = pytest.mark.slow

SMALL = {
    "epochs": 0,
    "model": {"architecture": "resnet18", "input": SIDE},
    "whiten": {"dim": 4},
    "cluster": {"k": 3},
    "extract": {"chunk_rows": 512},
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    return small_project(tmp_path_factory.mktemp("cases") / "project", plan=False)


def sets(name: str, **values: object) -> list[str]:
    """Small values for a new run, as `--set` takes them."""
    small = {
        f"{section}.{key}": value
        for section, keys in SMALL.items()
        if section != "epochs"
        for key, value in keys.items()
    }
    # The crops of a new run are of its own network.
    small |= {"train.input": "null", "final.extract.input": "null"}
    small |= {"model.width": 0.0625, f"datasets.{name}.size": SIDE, f"datasets.{name}.chunk_mib": 1} | values
    return [word for key, value in small.items() for word in ("--set", f"{key}={value}")]


def run(clone: Project, name: str, source: str, **values: object) -> subprocess.CompletedProcess[str]:
    return clone.pipeline("run", "--run", name, "--images", source, "--epochs", "0", *sets(name, **values))


def manifest(clone: Project, name: str) -> pd.DataFrame:
    return pd.read_parquet(clone.path(f"data/images/{name}/manifest.parquet")).set_index("path")


def rejected(clone: Project, name: str) -> dict[bytes, str]:
    frame = pd.read_parquet(clone.path(f"data/images/{name}/rejected.parquet"))
    return dict(zip(frame["path"], frame["reason"], strict=True))


@pytest.fixture(scope="module")
def folder(clone, tmp_path_factory) -> Path:
    """All of them beside the clone, with links."""
    top = clone.root.parent / "photos"
    pictures(top / "plain", (encoded(noise(100 + n, SIDE, 40)) for n in range(6)))
    pictures(top / "broken", [])
    pictures(top / "odd", [])
    for name, content in KINDS.items():
        (top / "odd" / name).write_bytes(content())
    for name, (content, _) in BROKEN.items():
        (top / "broken" / name).write_bytes(content())
    for n, name in enumerate(NAMES):
        path = os.path.join(os.fsencode(top), b"names", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(encoded(noise(200 + n), "JPEG"))
    (top / "notes.txt").write_text("not a picture")
    elsewhere = tmp_path_factory.mktemp("disk") / "class"
    pictures(elsewhere, (encoded(noise(300 + n)) for n in range(2)))
    (top / "linked").symlink_to(elsewhere)
    (top / "odd/loop").symlink_to(top)
    (top / "odd/again.jpg").symlink_to("whole.jpg")
    (top / "odd/gone.jpg").symlink_to("nowhere.jpg")
    return top


@pytest.fixture(scope="module")
def first(clone, folder):
    return run(clone, "odd", "../photos")


PACKED = 6 + len(KINDS) + len(NAMES) + 2


def test_the_run_goes_on_with_what_can_be_read_and_tells_how_many_it_rejected(clone, folder, first):
    assert first.returncode == 0, first.stderr
    reasons = rejected(clone, "odd")
    profile = b"odd/profile.png" in reasons
    unended = b"odd/unended.jpg" in reasons
    packed = PACKED - profile - unended
    assert len(manifest(clone, "odd")) == packed
    told = f"{packed} pictures packed; {len(reasons)} rejected (see data/images/odd/rejected.parquet)"
    assert (
        f"pack: {told}; labels are the 5 folders (broken, linked, names, …): datasets.odd.labels=false" in first.stdout
    )
    assert "files that are no pictures ignored: 1 .txt" in first.stdout
    assert "Traceback" not in clone.run_path("log.txt", "odd").read_text()


def test_what_is_rejected_has_its_reason(clone, folder, first):
    reasons = rejected(clone, "odd")
    for name, (_, reason) in BROKEN.items():
        assert reason in reasons.pop(f"broken/{name}".encode())
    assert "link that leads nowhere" in reasons.pop(b"odd/gone.jpg")
    assert "colour profile" in reasons.pop(b"odd/profile.png", "colour profile")
    assert "truncated" in reasons.pop(b"odd/unended.jpg", "truncated")
    assert reasons == {}


def test_each_kind_of_picture_has_the_pixels_that_a_viewer_shows(clone, folder, first):
    images = PackedImages(clone.path("data/images/odd"))
    pixels = {os.path.basename(name): images[i] for i, name in enumerate(images.paths())}
    for name in ("ramp.png", "flat.png", "grey.png", "black and white.png"):
        assert np.ptp(pixels[name.encode()], axis=2).max() == 0
    ramp = pixels[b"ramp.png"][:, :, 0]
    assert (ramp.min(), ramp.max()) == (0, 255)
    assert np.abs(ramp - RAMP / 257).max() <= 1
    assert np.abs(pixels[b"flat.png"].astype(int) - 156).max() <= 1
    for name in ("grey.png", "black and white.png", "palette.png"):
        np.testing.assert_array_equal(pixels[name.encode()], Image.open(folder / "odd" / name).convert("RGB"))
    assert pixels[b"ink.jpg"][SIDE // 2, SIDE // 2].tolist() == [0, 255, 255]
    for name in (b"alpha.png", b"grey alpha.png"):
        assert (pixels[name] == 255).all()
    for n in range(2, 9):
        with Image.open(folder / f"odd/turned{n}.jpg") as photo:
            np.testing.assert_array_equal(pixels[b"turned%d.jpg" % n], ImageOps.exif_transpose(photo))
    if b"unended.jpg" in pixels:
        np.testing.assert_array_equal(pixels[b"unended.jpg"], pixels[b"whole.jpg"])
    assert (pixels[b"dot.png"] == (9, 99, 199)).all()
    assert (pixels[b"96 megapixels.png"] == 90).all()


def test_sizes_in_the_manifest_are_those_of_upright_pictures(clone, folder, first):
    table = manifest(clone, "odd")
    sizes = {name: (row.height, row.width) for name, row in table.iterrows()}
    for n in range(2, 9):
        assert sizes[b"odd/turned%d.jpg" % n] == ((64, 32) if n >= 5 else (32, 64))
    assert sizes[b"odd/96 megapixels.png"] == (32, 48)
    assert sizes[b"odd/dot.png"] == (32, 32)


def test_each_real_file_is_there_once_and_a_linked_class_too(clone, folder, first):
    table = manifest(clone, "odd")
    assert {b"linked/0000.png", b"linked/0001.png", b"odd/whole.jpg"} <= set(table.index)
    assert b"odd/again.jpg" not in table.index
    assert not any(b"loop" in name for name in table.index)
    classes = PackedImages(clone.path("data/images/odd")).classes
    assert classes == ["broken", "linked", "names", "odd", "plain"]
    assert table.loc[b"linked/0000.png", "label"] == 1
    digests = {name.decode(): table.loc[name, "sha256"] for name in table.index if b"plain" in name}
    assert len(set(digests.values())) == 6


def test_a_stored_name_leads_back_to_its_file(clone, folder, first):
    images = PackedImages(clone.path("data/images/odd"))
    stored = images.paths()
    for name in NAMES:
        image = stored.index(b"names/" + name)
        path = os.path.join(os.fsencode(folder), stored[image])
        with Image.open(os.fsdecode(path)) as picture:
            np.testing.assert_array_equal(images[image], picture)


def test_the_same_command_again_and_packing_again_change_no_byte(clone, folder, first):
    packed = clone.path("data/images/odd")
    before = tree(packed)
    again = run(clone, "odd", "../photos")
    assert again.returncode == 0 and "nothing to do" in again.stdout, again.stderr
    assert_same(tree(packed), before)
    repacked = clone.command("python", "-m", "stages.pack", packed)
    # No warning about 96 megapixels either.
    assert (repacked.returncode, repacked.stderr) == (0, "")
    assert_same(tree(packed), before)
    repro = clone.command("dvc", "repro", "--force", "data/images/odd/dvc.yaml")
    assert repro.returncode == 0, repro.stderr
    assert_same(tree(packed), before)


def test_a_list_with_line_ends_of_windows_packs_what_is_there_and_numbers_what_is_not(clone, folder):
    lines = [b"photos/names/" + name for name in NAMES if b"\n" not in name]
    lines += [b"photos/absent.jpg", b"photos/plain/0000.png", lines[0], b"photos/names"]
    (clone.root.parent / "list.txt").write_bytes(b"\r\n".join(lines) + b"\r\n")
    done = run(clone, "listed", "../list.txt", **{"cluster.k": 5})
    assert (done.returncode, done.stderr) == (0, "")
    assert "pack: 5 pictures packed; 3 rejected (see data/images/listed/rejected.parquet)" in done.stdout
    assert manifest(clone, "listed").index.tolist() == [*lines[:4], lines[5]]
    assert rejected(clone, "listed") == {
        b"photos/absent.jpg": "line 5: No such file or directory",
        lines[0]: "line 7: repeats line 1",
        b"photos/names": "line 8: is no file",
    }
    # As many clusters as pictures: one each, so that all are shown.
    assert "5 clusters used, 0 empty" in done.stdout
    shown = clone.pipeline("show", "--run", "listed")
    assert shown.returncode == 0, shown.stderr
    for escaped in (r"caf\xe9.jpg", r"a\ttab.jpg", "#1.jpg", " blank.jpg"):
        assert f"photos/names/{escaped}" in shown.stdout


FEW = {
    "empty": ([], "few holds no pictures"),
    "one picture": ([encoded(noise(0))], "at least 2 are needed"),
    "all broken": ([b"broken", b""], "none of the 2 pictures looked at can be read"),
}


@pytest.mark.parametrize("case", FEW)
def test_too_few_pictures_are_refused_and_nothing_is_written(clone, tmp_path, case):
    contents, words = FEW[case]
    pictures(tmp_path / "few", contents)
    before = state(clone)
    assert_refused(run(clone, "few", str(tmp_path / "few")), words)
    assert state(clone) == before


@pytest.mark.parametrize("source", [".", "..", "data"])
def test_a_folder_that_holds_the_output_is_refused_before_any_work(clone, folder, source):
    before = state(clone)
    assert_refused(run(clone, "around", source), "output lies inside --images", "name a folder")
    assert state(clone) == before


def test_too_few_that_are_left_after_rejects_stop_the_run_before_its_stages(clone):
    contents = [encoded(noise(n)) for n in range(4)]
    pictures(clone.root.parent / "dwindling", [*contents, b"broken", b""])
    before = state(clone)
    refused = run(clone, "dwindling", "../dwindling", **{"cluster.k": 6})
    assert_refused(refused, "cluster.k: 6 clusters for 4 pictures", "--set cluster.k=")
    after = state(clone)
    assert [name for name in before if after[name] != before[name]] == ["params.yaml"]
    assert not list(clone.run_path("", "dwindling").glob("**/*.zarr"))
    assert "4 pictures packed; 2 rejected" in refused.stdout
    helped = clone.pipeline("plan", "--run", "dwindling", "--set", "cluster.k=2")
    assert helped.returncode == 0, helped.stderr


def test_black_pictures_fill_their_chunks_also_in_what_is_packed_after_a_kill(clone):
    """A library that leaves out chunks of nothing but zeros must not be able to make one go missing."""
    pictures(clone.root.parent / "black", [encoded(Image.new("RGB", (SIDE, SIDE)))] * 1000)
    words = ("--run", "black", "--images", "../black", "--epochs", "0", *sets("black"))
    with Held(clone, "python", "-m", "pipeline", "run", *words, at="images/black/.partial-pack/parts/000000") as held:
        held.kill()
    refused = clone.pipeline("run", *words)
    assert_refused(refused, "the 1,000 pictures of", "are all the same, byte for byte")
    assert not clone.run_path("final", "black").exists()
    folder = clone.path("data/images/black")
    resumed = tree(folder)
    for number in range(3):
        assert resumed[f"pixels.zarr/c.{number}"] == bytes(2**20)
    images = PackedImages(folder)
    assert len(images) == 1000
    assert not any(images[i].any() for i in range(1000))
    at_once = clone.command("python", "-m", "stages.pack", folder)
    assert (at_once.returncode, at_once.stderr) == (0, "")
    assert_same(tree(folder), resumed)


def test_more_chunks_than_the_process_may_open_files(clone):
    """84 and more chunks of pixels under `ulimit -n 64`; ImageNet has 2,600, where 1,024 is usual."""
    # 143 kB a picture, so that seven fill a chunk.
    pictures(clone.root.parent / "many", (encoded(noise(n, 140, 340)) for n in range(7 * 85)))
    values = sets("many", **{"datasets.many.size": 140})
    words = ["run", "--run", "many", "--images", "../many", "--epochs", "1", *values]
    done = clone.command("bash", "-c", 'ulimit -n 64; exec python -m pipeline "$@"', "bash", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert len(list(clone.path("data/images/many/pixels.zarr").glob("c.*"))) > 84
