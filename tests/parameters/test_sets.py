"""stages/parameters/sets.py: entries of `evaluation_sets`."""

import pytest
from stage_helpers import refused

from stages.parameters import resolution
from stages.parameters.sets import DrawParams


def resolve_set(entry, name):
    return resolution.resolve_set({"evaluation_sets": {name: entry}}, name)


def test_an_entry_with_its_defaults():
    found = resolve_set({"layout": "voc", "path": "/data/VOC2007"}, "voc2007")
    assert (found.name, found.lists, found.proposals, found.draw) == ("voc2007", {}, {}, None)


def test_a_drawn_set_has_the_defaults_of_what_it_does_not_say():
    assert resolve_set({"layout": "voc", "path": "x", "draw": {"seed": 3}}, "demo-voc").draw == DrawParams(seed=3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": None}, "evaluation_sets.mine.path: input should be a valid string"),
        ({"layout": "coco"}, "evaluation_sets.mine.layout: input should be 'voc', 'sbd' or 'landmarks', not 'coco'"),
        ({"splits": {}}, "evaluation_sets.mine.splits: no such key; did you mean evaluation_sets.mine.lists?"),
        ({"lists": {"seg11valid": 3}}, "evaluation_sets.mine.lists.seg11valid"),
        (
            {"draw": {"trian": 3}},
            "mine.draw.trian: no such key; did you mean evaluation_sets.mine.draw.train?",
        ),
        ({"draw": {"difficulty": 2}}, "evaluation_sets.mine.draw.difficulty"),
        ({"layout": "sbd", "draw": {}}, "evaluation_sets.mine.draw: layouts voc and landmarks alone"),
        (
            {"layout": "sbd", "proposals": {"train": "x.mat"}},
            "mine: proposals and search are for layout voc alone",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(change, told):
    assert told in refused(lambda: resolve_set({"layout": "voc", "path": "x"} | change, "mine"))


@pytest.mark.parametrize(("entry", "name"), [(None, "mine"), ("x", "mine"), ({"layout": "voc", "path": "x"}, "a/b")])
def test_an_entry_that_is_no_section_and_a_name_that_is_no_folder_are_refused(entry, name):
    assert name in refused(lambda: resolve_set(entry, name))


def test_a_missing_key_is_named():
    assert "evaluation_sets.mine.path is missing" in refused(lambda: resolve_set({"layout": "voc"}, "mine"))
