"""pipeline/cli/tables.py and terminal.py: names that are no text, or look like markup, on the terminal."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from PIL import Image

from pipeline import open_run

ODD = {
    b"caf\xe9.jpg": r"caf\xe9.jpg",
    b"[red]x.png": "[red]x.png",
    b"[/].png": "[/].png",
    rb"\[bold]y.png": r"\[bold]y.png",
    b"a\nb.png": r"a\nb.png",
    b"\x1b[31mred.png": r"\x1b[31mred.png",
    b":smile:.png": ":smile:.png",
    "été.png".encode(): "été.png",
}


@pytest.mark.parametrize("name", ODD, ids=ODD.values())
def test_odd_names_are_shown_as_they_are_or_escaped(cli, finished_copy, name):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    run = open_run("demo", finished_copy.root)
    cluster = run.clusters("final")["cluster"][0]
    final = run.assignments("final")
    members = final[final["cluster"] == cluster]
    frame.loc[members["distance"].idxmin(), "path"] = name
    frame.to_parquet(manifest)
    ended = cli(finished_copy.root, "show", "--most", "1")
    assert ended.status == 0
    assert ODD[name] in ended.out
    assert len(ended.out.splitlines()) == 2
    ended.out.encode("utf-8")


def test_an_odd_class_name_is_shown_as_it_is(cli, finished_copy):
    pack = finished_copy.path("data/images/demo/pack.json")
    content = json.loads(pack.read_text())
    content["classes"] = [f"[red]{i}" for i in range(len(content["classes"]))]
    pack.write_text(json.dumps(content))
    assert "[red]" in cli(finished_copy.root, "show").out


def test_rejected_names_are_printed_as_escapes_by_embed(cli, finished_copy, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    Image.new("RGB", (80, 80), "red").save(folder / "good.png")
    (folder / "line\nbreak\x1b[31m.png").write_bytes(b"no picture")
    ended = cli(finished_copy.root, "embed", folder, "-o", tmp_path / "out.parquet")
    assert ended.status == 0
    assert r"rejected: line\nbreak\x1b[31m.png: " in ended.out
    assert "1 picture in" in ended.out and "1 rejected" in ended.out
