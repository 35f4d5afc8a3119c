"""pipeline/show.py and similar.py: one cluster's pictures, pictures like this one, and sheets of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pipeline_helpers import unlink

from pipeline import open_run
from stages.words import plural


@pytest.mark.parametrize("epoch", ["1", "final"])
def test_one_clusters_pictures_are_listed_most_typical_first_and_drawn(cli, finished, tmp_path, epoch):
    run = open_run("demo", finished.root)
    groups = run.groups(epoch if epoch == "final" else int(epoch))
    cluster = int(groups["cluster"].value_counts().index[0])
    members = groups[groups["cluster"] == cluster]
    sheet = tmp_path / "sheet.png"
    ended = cli(finished.root, "show", "--epoch", epoch, "--cluster", str(cluster), "--save", sheet)
    assert (ended.status, ended.err) == (0, "")
    header, *rows = ended.out.splitlines()
    assert header.split() == ["image", "distance", "path"]
    assert [int(row.split()[0]) for row in rows] == members["image"].tolist()
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.height >= 68 * (len(members) // 12)
    fewer = cli(finished.root, "show", "--epoch", epoch, "--cluster", str(cluster), "--most", "2")
    assert len(fewer.out.splitlines()) == 3
    assert fewer.err == f"{plural(len(members) - 2, 'more picture')}: --most {len(members)}\n"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_all_clusters_are_drawn_in_the_format_of_the_ending(cli, finished, tmp_path, ending):
    sheet = tmp_path / f"sheet.{ending}"
    ended = cli(finished.root, "show", "--most", "3", "--save", sheet)
    assert (ended.status, ended.err) == (0, "7 more clusters: --most 10\n")
    with Image.open(sheet) as picture:
        assert picture.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[ending]
        assert picture.height == 3 * 68 + 4


def test_a_run_that_goes_on_shows_its_last_whole_epoch(cli, finished_copy):
    unlink(finished_copy.run_path("final"))
    ended = cli(finished_copy.root, "show")
    assert ended.status == 0 and ended.err == "run demo is not finished: this is epoch 2, its last whole one\n"
    assert ended.out == cli(finished_copy.root, "show", "--epoch", "2").out
    # Of a refusal there is one line.
    assert "x.gif" in cli.refused(finished_copy.root, "show", "--save", "x.gif")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "--cluster", "10"], "is none of 0 to 9"),
        (["show", "--cluster", "1", "--save", "x.gif"], ".png, .jpg, .jpeg or .webp, as in x.png"),
        (["show", "--save", "absent/x.png"], "absent"),
        (["show", "--epoch", "9"], "epochs with a clustering: 1, 2, final"),
        (["similar", "absent.png"], "has no picture of that name"),
        (["similar", "params.yaml"], "cannot be read as a picture"),
    ],
)
def test_what_is_not_there_is_refused(cli, finished, words, told):
    assert told in cli.refused(finished.root, *words)


def test_a_cluster_that_the_other_recipe_has_not_is_refused(cli, finished_v2):
    k = open_run("demo", finished_v2.root).params.cluster.k
    assert f"is none of 0 to {k - 1}" in cli.refused(finished_v2.root, "show", "--cluster", str(k))


def test_a_picture_of_the_run_is_found_by_path_or_file_and_is_not_its_own_neighbour(cli, finished, tmp_path):
    run = open_run("demo", finished.root)
    name = run.images()["path"][7]
    sheet = tmp_path / "sheet.png"
    ended = cli(finished.root, "similar", name, "-n", "5", "--save", sheet)
    assert (ended.status, ended.err) == (0, "")
    rows = [row.split() for row in ended.out.splitlines()[1:]]
    assert [int(row[0]) for row in rows] == run.neighbours(7, 5)["image"].tolist()
    assert 7 not in [int(row[0]) for row in rows]
    again = cli(finished.root, "similar", finished.path("data/images/demo/pictures") / name, "-n", "5")
    assert again.out == ended.out
    with Image.open(sheet) as picture:
        assert picture.height == 2 * 68 + 4


def test_another_file_goes_through_the_network(cli, finished, tmp_path):
    run = open_run("demo", finished.root)
    copy = tmp_path / "copy.png"
    copy.write_bytes((finished.path("data/images/demo/pictures") / run.images()["path"][7]).read_bytes())
    ended = cli(finished.root, "similar", copy, "-n", "4", "--save", tmp_path / "sheet.png")
    assert (ended.status, ended.err) == (0, "")
    images = [int(row.split()[0]) for row in ended.out.splitlines()[1:]]
    assert images == [7, *run.neighbours(7, 3)["image"]]
    assert np.asarray(Image.open(tmp_path / "sheet.png")).shape[0] == 2 * 68 + 4
