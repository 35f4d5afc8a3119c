"""stages/method/sheet.py: thumbnails where they belong, beside their text."""

from __future__ import annotations

import numpy as np
import pytest

from stages.method.sheet import COLUMNS, GAP, LINE, MOST_TEXT, TILE, Strip, draw, thumbnail


def tiles(count: int, colour: tuple[int, int, int]) -> list[np.ndarray]:
    return [np.full((TILE, TILE, 3), colour, np.uint8)] * count


def area(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (sheet == np.array(colour, np.uint8)).all(2)


def test_a_strip_of_many_thumbnails_goes_on_in_the_next_row_and_the_next_strip_below_it():
    red, green = (255, 0, 0), (0, 255, 0)
    sheet = draw([Strip(["cluster 3"], tiles(COLUMNS + 2, red)), Strip(["cluster 5"], tiles(1, green))])
    assert sheet.dtype == np.uint8 and sheet.shape[0] == 3 * (TILE + GAP) + GAP
    assert area(sheet, red).sum() == (COLUMNS + 2) * TILE * TILE
    rows, columns = np.nonzero(area(sheet, green))
    assert (rows.min(), rows.max()) == (GAP + 2 * (TILE + GAP), GAP + 2 * (TILE + GAP) + TILE - 1)
    assert columns.min() == np.nonzero(area(sheet, red))[1].min()


def test_each_line_is_written_at_the_left_of_its_own_thumbnails():
    sheet = draw([Strip(["first", "second"], tiles(1, (255, 0, 0))), Strip([], tiles(1, (0, 255, 0)))])
    left = np.nonzero(area(sheet, (255, 0, 0)))[1].min()
    ink = np.nonzero((sheet[:, :left] < 128).any(axis=(1, 2)))[0]
    assert GAP < ink.min() < GAP + LINE + GAP < ink.max() < TILE
    assert (sheet[:, left - 2 * GAP : left] == 255).all()


@pytest.mark.parametrize("name", ["a name that goes on " * 20, "фото", "line\nbreak", "caf\udce9", ""])
def test_any_name_of_a_folder_can_be_written_and_takes_a_bounded_width(name):
    sheet = draw([Strip([name], tiles(1, (255, 0, 0)))])
    assert sheet.shape[1] <= MOST_TEXT + TILE + 8 * GAP


def test_letters_beyond_latin_are_drawn_and_not_all_as_the_same_box():
    drawn = [draw([Strip([letter * 3], tiles(1, (255, 0, 0)))]) for letter in "жщ"]
    assert drawn[0].shape != drawn[1].shape or not np.array_equal(*drawn)


def test_a_sheet_of_nothing_is_white():
    assert (draw([]) == 255).all()


def test_a_thumbnail_is_the_middle_square():
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 200
    assert (thumbnail(picture) == 200).all() and thumbnail(picture).shape == (TILE, TILE, 3)
    assert (thumbnail(picture.transpose(1, 0, 2).copy()) == 200).all()
