"""stages/words.py: counts and sizes read right."""

from __future__ import annotations

import pytest

from stages.words import duration, plural, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_500, "1.5 kB"),
        (9_960, "10 kB"),
        (999_600, "1.0 MB"),
        (2_600_000, "2.6 MB"),
        (412e9, "412 GB"),
        (11.8e12, "12 TB"),
        (5e15, "5,000 TB"),
    ],
)
def test_a_size_has_the_unit_in_which_it_can_be_read(count, text):
    assert size(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (2000, "2,000 epochs")])
def test_a_noun_has_the_number_of_its_count(count, text):
    assert plural(count, "epoch") == text


def test_a_noun_or_a_verb_may_have_a_plural_of_its_own():
    assert [plural(count, "differs", "differ") for count in (1, 0)] == ["1 differs", "0 differ"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (48, "48 s"), (119, "119 s"), (180, "3 min"), (7500, "2 h 05 min"), (360000, "100 h 00 min")],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
