"""stages/sources/scenes.py and voc_files.py: scenes as VOC's files, what their flags and masks say, and proposals."""

import io

import numpy as np
import pytest
from PIL import Image
from set_helpers import drawn, entry, looked

from stages.parameters.sets import DrawParams
from stages.sources.drawings import CLASSES
from stages.sources.drawn import draw_set
from stages.sources.proposals import read_proposals
from stages.sources.scenes import NAMES, draw_scene, propose, scenes_of
from stages.sources.sets import survey

FEW = DrawParams(train=10, val=10, test=10)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([5, number]), 0.5) for number in range(120)]


def test_equal_parameters_give_equal_files_and_another_seed_others():
    files = dict(draw_set(entry("voc", draw=FEW.model_dump())))
    assert files == dict(draw_set(entry("voc", draw=FEW.model_dump())))
    other = dict(draw_set(entry("voc", draw=FEW.model_dump() | {"seed": 1})))
    assert other.keys() == files.keys()
    assert all(other[name] != content for name, content in files.items() if name.startswith("JPEGImages/"))


def test_more_pictures_leave_the_first_as_they_are():
    few = {name: scene.picture for _, name, scene, _ in scenes_of(FEW)}
    more = {name: scene.picture for _, name, scene, _ in scenes_of(FEW.model_copy(update={"train": 12, "test": 11}))}
    assert len(more) == len(few) + 3
    assert all(np.array_equal(more[name], picture) for name, picture in few.items())


def test_the_classes_are_the_demos_shapes():
    assert sorted(NAMES) == list(NAMES) and set(NAMES) == {name.split()[1] for name in CLASSES}


def test_there_are_pictures_of_several_objects_and_all_kinds_of_flags(scenes):
    things = [thing for scene in scenes for thing in scene.things]
    assert {len(scene.things) for scene in scenes} >= {1, 2, 3}
    assert {thing.label for thing in things} == set(range(10))
    for flag in ("difficult", "truncated"):
        share = np.mean([getattr(thing, flag) for thing in things])
        assert 0.02 < share < 0.7, flag


def test_boxes_bound_what_the_mask_shows(scenes):
    """Where an object is the only one of its class, its box holds all of the class's pixels, and borders are void."""
    checked = 0
    for scene in scenes:
        labels = [thing.label for thing in scene.things]
        for thing in scene.things:
            rows, columns = np.nonzero(scene.mask == thing.label + 1)
            if thing.difficult:
                continue
            if labels.count(thing.label) == 1:
                x1, y1, x2, y2 = thing.box
                height, width = scene.mask.shape
                assert 0 <= x1 <= columns.min() and 0 <= y1 <= rows.min()
                assert columns.max() <= x2 < width and rows.max() <= y2 < height
                # Borders are void, and with them the tips of stars and what others leave of an object on a side.
                if not thing.truncated:
                    assert columns.min() - x1 <= 8 and x2 - columns.max() <= 8
                checked += 1
        if scene.things:
            assert (scene.mask == 255).any()
    assert checked > 100


def test_no_class_touches_another_without_void_between(scenes):
    for scene in scenes:
        left, right = scene.mask[:, :-1], scene.mask[:, 1:]
        upper, lower = scene.mask[:-1], scene.mask[1:]
        for one, two in ((left, right), (upper, lower)):
            differ = one != two
            assert ((one == 255) | (two == 255))[differ].all()


def test_a_difficult_object_is_void_in_the_mask_and_0_in_the_labels(tmp_path):
    of = drawn(tmp_path, "voc", train=40)
    found = survey(tmp_path, of)
    seen = 0
    for one in looked(tmp_path, of):
        content = (tmp_path / "set" / one.wanted.mask).read_bytes()
        mask = np.asarray(Image.open(io.BytesIO(content)))
        for label in range(len(found.classes)):
            flags = one.objects.difficult[one.objects.classes == label]
            expected = -1 if not len(flags) else 0 if flags.all() else 1
            assert one.wanted.labels[label] == expected
            if expected == 0:
                assert not (mask == label + 1).any()
                seen += 1
    assert seen > 0


def test_the_harder_the_smaller_and_the_noisier():
    def drawn_at(difficulty):
        return [draw_scene(np.random.default_rng([6, number]), difficulty) for number in range(40)]

    easy, hard = drawn_at(0.0), drawn_at(1.0)

    def grain(scenes):
        return np.mean([np.abs(np.diff(scene.picture[:4].astype(float), axis=1)).mean() for scene in scenes])

    def area(scenes):
        return np.mean([(t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for scene in scenes for t in scene.things])

    assert grain(easy) * 1.3 < grain(hard) and area(easy) > 1.3 * area(hard)


def test_most_objects_are_proposed_and_most_proposals_are_none(scenes):
    rng = np.random.default_rng(0)
    found, hits = [], []
    for scene in scenes[:60]:
        boxes = propose(scene, rng)
        assert len(np.unique(boxes, axis=0)) == len(boxes)
        wanted = np.array([thing.box for thing in scene.things], float).reshape(-1, 4)
        overlaps = overlap(boxes, wanted)
        found += overlaps.max(axis=0).tolist() if len(wanted) else []
        hits += overlaps.max(axis=1).tolist() if len(wanted) else []
    assert np.mean(np.array(found) > 0.5) > 0.95
    assert 0.05 < np.mean(np.array(hits) > 0.5) < 0.5


def overlap(boxes, others):
    """Intersection over union, the last row and column included: (n, m)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    inter = (high - low + 1).clip(0).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2] + 1).prod(axis=1) for one in (boxes, others)]
    return inter / (areas[0][:, None] + areas[1] - inter)


def test_proposals_lie_beside_in_the_form_of_a_split_and_fit_the_pictures(tmp_path):
    of = drawn(tmp_path, "voc")
    for split in ("trainval", "test"):
        sizes = {
            one.wanted.name: (one.height, one.width)
            for one in looked(tmp_path, of)
            if f"Main/{split}" in one.wanted.splits
        }
        found = read_proposals(tmp_path / f"set/proposals/{split}.mat", sizes)
        assert list(found) == list(sizes) and min(map(len, found.values())) > 30
