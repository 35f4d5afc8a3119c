"""pipeline/embed.py: new pictures through a finished run: on the training folder that gives final/ again."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image

from pipeline.embed import Embedded, embed
from stages.errors import Refusal
from stages.runtime.report import Reporter

N, DIM = 170, 32


def embedded(project, source: Path, out: Path) -> Embedded:
    return embed(project.root, "demo", source, out, Reporter(stream=io.StringIO()))


def test_the_training_folder_embeds_to_final(finished, tmp_path):
    out = tmp_path / "out.parquet"
    found = embedded(finished, finished.path("data/images/demo/pictures"), out)
    assert found == Embedded(N, [])
    table = pd.read_parquet(out)
    assert list(table.columns) == ["path", "cluster", "distance", "embedding"]
    manifest = pd.read_parquet(finished.path("data/images/demo/manifest.parquet"))
    assert [os.fsencode(path) for path in table["path"]] == manifest["path"].tolist()
    assert all(isinstance(path, str) for path in table["path"])
    final = pd.read_parquet(finished.run_path("final/assignments.parquet"))
    assert table["cluster"].tolist() == final["cluster"].tolist()
    assert table["distance"].tolist() == final["distance"].tolist()
    white = zarr.open_array(finished.run_path("final/whitened.zarr"), mode="r")[:]
    vectors = np.stack(table["embedding"].to_list())
    assert (vectors.shape, vectors.dtype) == ((N, DIM), np.float32)
    assert np.array_equal(vectors, white)


@pytest.fixture
def mixed(finished, tmp_path) -> Path:
    """Two good pictures of the training folder under odd names, among files that are none."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    originals = sorted(finished.path("data/images/demo/pictures").rglob("*.png"))[:2]
    (folder / "a.png").write_bytes(originals[0].read_bytes())
    with open(os.path.join(os.fsencode(folder), b"caf\xe9.png"), "wb") as file:
        file.write(originals[1].read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "cut.png").write_bytes(originals[0].read_bytes()[:500])
    (folder / "long.png").write_bytes(png(Image.new("RGB", (2000, 20), "red")))
    os.symlink(folder / "nowhere.png", folder / "dangling.png")
    (folder / "notes.txt").write_text("no picture either")
    return folder


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_what_cannot_be_read_is_reported_and_the_rest_embedded(finished, mixed, tmp_path):
    out = tmp_path / "out.parquet"
    found = embedded(finished, mixed, out)
    assert found.count == 2
    reasons = dict(found.rejected)
    assert set(reasons) == {b"broken.png", b"cut.png", b"long.png", b"dangling.png"}
    assert "aspect ratio 100:1" in reasons[b"long.png"]
    assert "trunc" in reasons[b"cut.png"].lower()
    assert "leads nowhere" in reasons[b"dangling.png"]
    # A reason is kept in rejected.parquet too, and equal runs give equal bytes.
    assert not any(" at 0x" in reason for reason in reasons.values())
    assert pd.read_parquet(out)["path"].tolist() == [b"a.png", b"caf\xe9.png"]


def test_a_folder_in_which_no_picture_can_be_read_writes_nothing(finished, tmp_path):
    folder, out = tmp_path / "broken", tmp_path / "out.parquet"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        (folder / name).write_bytes(b"no picture")
    out.write_bytes(b"of an earlier run")
    with pytest.raises(Refusal, match=r"none of the 2 pictures of .* can be read, such as a\.png \(no picture"):
        embedded(finished, folder, out)
    assert {path.name for path in tmp_path.iterdir()} == {"broken", "out.parquet"}
    assert out.read_bytes() == b"of an earlier run"


def test_a_picture_lands_where_it_did_in_training(finished, mixed, tmp_path):
    embedded(finished, mixed, tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet")
    final = pd.read_parquet(finished.run_path("final/assignments.parquet"))
    # In another batch sums round differently.
    assert table["cluster"].tolist() == final["cluster"][:2].tolist()
    assert np.allclose(table["distance"], final["distance"][:2], atol=1e-4)


def test_a_text_file_of_paths_is_taken_in_its_order(finished, mixed, tmp_path):
    listing = mixed / "list.txt"
    listing.write_bytes(b"caf\xe9.png\r\na.png\r\nabsent.png\r\n")
    found = embedded(finished, listing, tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["path"].tolist() == [b"caf\xe9.png", b"a.png"]
    assert [name for name, _ in found.rejected] == [b"absent.png"]
    assert "line 3" in found.rejected[0][1]


def test_the_run_is_left_as_it_was(finished, mixed, tmp_path):
    before = finished.tree()
    embedded(finished, mixed, tmp_path / "out.parquet")
    assert finished.tree() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixed", "out.parquet"]


def test_a_source_without_pictures_is_refused(finished, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match="holds no pictures"):
        embedded(finished, tmp_path / "empty", tmp_path / "out.parquet")


def test_an_output_that_cannot_be_written_is_one_line(finished, mixed, tmp_path, cli):
    assert "absent" in cli.refused(finished.root, "embed", mixed, "-o", tmp_path / "absent" / "out.parquet")
    (tmp_path / "folder").mkdir()
    assert "folder" in cli.refused(finished.root, "embed", mixed, "-o", tmp_path / "folder")
