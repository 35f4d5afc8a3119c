"""stages/sources/annotations.py: VOC's XML, and what is refused of it with file and object."""

from pathlib import Path

import numpy as np
import pytest
from set_helpers import annotation, thing
from stage_helpers import refused

from stages.sources.annotations import parse_annotation

CLASSES = ("cat", "dog")


def parsed(*things, height=24, width=32, before=""):
    content = annotation(*things).replace("<annotation>", f"<annotation>{before}")
    return parse_annotation(content.encode(), Path("Annotations/7.xml"), CLASSES, height, width)


def test_objects_in_the_order_of_the_file_with_their_flags():
    found = parsed(thing("dog", (1, 1, 32, 24), difficult=1), thing("cat", ("2.5", 3, 9, 8), truncated=1))
    assert found.boxes.dtype == np.float32
    assert found.boxes.tolist() == [[0, 0, 31, 23], [1.5, 2, 8, 7]]
    assert found.classes.tolist() == [1, 0]
    assert found.difficult.tolist() == [True, False] and found.truncated.tolist() == [False, True]


def test_a_part_of_an_object_is_none_and_missing_flags_are_0():
    """VOC 2012 has heads and hands within persons."""
    whole = thing("cat", (2, 2, 9, 9)).replace("<truncated>0</truncated><difficult>0</difficult>", "")
    part = "<part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>"
    found = parsed(whole.replace("</object>", f"{part}</object>"))
    assert found.boxes.tolist() == [[1, 1, 8, 8]] and not found.difficult[0] and not found.truncated[0]


def test_a_picture_without_objects_has_no_boxes():
    assert parsed().boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (thing("cat", (0, 3, 20, 15)), "xmin is 0, and VOC counts pixels from 1"),
        (thing("cat", (2, 0, 20, 15)), "ymin is 0, and VOC counts pixels from 1"),
        (thing("cat", (5, 3, 5, 15)), "its box is empty (xmin 5, xmax 5)"),
        (thing("cat", (5, 9, 9, 3)), "its box is inverted (ymin 9, ymax 3)"),
        (thing("cat", (5, 3, 33, 15)), "xmax is 33, outside of its picture of 32x24"),
        (thing("cat", (5, 3, 20, 25)), "ymax is 25, outside"),
        (thing("cat", ("", 3, 20, 15)), "xmin is '', no number"),
        (thing("cat", ("nan", 3, 20, 15)), "xmin is nan"),
        (thing("cow"), "no such class in this set"),
        (thing(difficult="yes"), "difficult is 'yes', neither 0 nor 1"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_object(broken, told):
    line = refused(lambda: parsed(thing("dog"), broken))
    assert line.startswith("Annotations/7.xml: object 2 (") and told in line


def test_boxes_of_a_picture_that_exif_turns_are_refused():
    size = "<size><width>32</width><height>24</height><depth>3</depth></size>"
    assert parsed(thing(), before=size).boxes.shape == (1, 4)
    assert "EXIF" in refused(lambda: parsed(thing(), height=32, width=24, before=size))


@pytest.mark.parametrize("content", [b"", b"<annotation>", b"\x00\x01", "<annotation/>".encode("utf-32")])
def test_what_is_no_xml_is_refused_by_name(content):
    line = refused(lambda: parse_annotation(content, Path("Annotations/7.xml"), CLASSES, 24, 32))
    assert line.startswith("Annotations/7.xml is no valid XML")


def test_entities_are_refused():
    bomb = b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
    assert "entities" in refused(lambda: parse_annotation(bomb, Path("7.xml"), CLASSES, 24, 32))
