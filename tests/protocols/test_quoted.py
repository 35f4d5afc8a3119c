"""stages/protocols/quoted.py: the paper's numbers, spot by spot as they are told elsewhere in the paper and of it."""

import pytest

from stages.protocols.quoted import QUOTED, Column


def number(table: int, method: str, group: str, column: str, trained_on: str = "") -> str | None:
    quoted = QUOTED[table - 1]
    (row,) = [row for row in quoted.rows if (row.method, row.trained_on) == (method, trained_on)]
    return row.numbers[quoted.columns.index(Column(group, column))]


def numbers(table: int, method: str, trained_on: str = "") -> list[float | None]:
    (row,) = [row for row in QUOTED[table - 1].rows if (row.method, row.trained_on) == (method, trained_on)]
    return [None if value is None else float(value) for value in row.numbers]


def test_each_table_has_its_rows_and_columns():
    assert [len(table.rows) for table in QUOTED] == [11, 15, 3, 6, 5]
    assert [len(table.columns) for table in QUOTED] == [10, 6, 6, 2, 2]
    for table in QUOTED:
        assert all(len(row.numbers) == len(table.columns) for row in table.rows)
        assert any(row.own for row in table.rows)


def test_every_number_is_a_percentage_to_one_decimal_with_at_most_a_dagger():
    for table in QUOTED:
        for row in table.rows:
            for printed in filter(None, row.numbers):
                value = printed.removesuffix("†")
                assert 0 < float(value) < 100 and value == f"{float(value):.1f}"


@pytest.mark.parametrize(
    ("table", "method", "trained_on", "expected"),
    [
        (1, "DeepCluster", "", [13.4, 32.3, 41.0, 39.6, 38.2, 19.6, 33.2, 39.2, 39.8, 34.7]),
        (2, "DeepCluster", "", [72.0, 73.7, 51.4, 55.4, 43.2, 45.1]),
        (2, "ImageNet labels", "", [78.9, 79.9, None, 56.8, None, 48.0]),
        (2, "Random-sobel", "", [29.0, 61.9, 18.9, 47.9, 13.0, 32.0]),
        (2, "Random-rgb", "", [33.2, 57.0, 22.2, 44.5, 15.2, 30.1]),
        (3, "DeepCluster", "YFCC100M", [67.3, 69.3, 45.6, 53.0, 39.2, 42.2]),
        (4, "ImageNet labels", "", [56.8, 67.3]),
        (4, "DeepCluster", "", [55.4, 65.9]),
        (5, "DeepCluster", "", [61.0, 72.0]),
        (5, "Random", "", [6.9, 22.0]),
    ],
)
def test_rows_that_the_text_and_the_released_code_go_by(table, method, trained_on, expected):
    assert numbers(table, method, trained_on) == expected


def test_imagenet_labels_and_random_of_table_1():
    assert numbers(1, "ImageNet labels")[:5] == [19.3, 36.3, 44.2, 48.3, 50.5]
    assert numbers(1, "Random")[:5] == [11.6, 17.1, 16.9, 16.3, 14.1]
    assert numbers(1, "Places labels") == [None] * 5 + [22.1, 35.1, 40.2, 43.3, 44.6]


def test_what_the_paper_says_of_its_tables_holds():
    """Section 4.3: 12.3 points below labels at conv5. Section 5.2: 1.4 points at detection, with both networks."""
    labels, own = numbers(1, "ImageNet labels"), numbers(1, "DeepCluster")
    assert labels[4] - own[4] == pytest.approx(12.3)
    labels, own = numbers(4, "ImageNet labels"), numbers(4, "DeepCluster")
    assert [a - b for a, b in zip(labels, own, strict=True)] == pytest.approx([1.4, 1.4])
    rows = [row.numbers for row in QUOTED[1].rows if row.method.startswith("Noroozi")]
    assert 73.7 - max(float(row[1]) for row in rows) == pytest.approx(6.0)


def test_marks_are_where_the_paper_has_them():
    starred = {row.method for row in QUOTED[1].rows if row.method.endswith("*")}
    assert len(starred) == 7 and "DeepCluster" not in starred and "Wang and Gupta [63]*" in starred
    daggers = [sum("†" in (value or "") for row in table.rows for value in row.numbers) for table in QUOTED]
    assert daggers == [0, 8, 2, 0, 0]
    assert number(2, "Zhang et al. [71]*", "Detection", "FC6-8") == "43.4†"
    assert number(2, "Zhang et al. [71]*", "Segmentation", "ALL") == "35.6"


def test_two_numbers_that_the_paper_prints_in_two_ways_are_quoted_as_printed_and_said():
    assert number(3, "Best competitor", "Segmentation", "ALL", "ImageNet") == "37.7"
    assert number(2, "Noroozi and Favaro [42]", "Segmentation", "ALL") == "37.6"
    assert (number(2, "Random-sobel", "Detection", "ALL"), number(4, "Random", "", "AlexNet")) == ("47.9", "47.8")
    assert any("37.6" in note for note in QUOTED[2].notes) and any("47.9" in note for note in QUOTED[3].notes)


def test_the_best_competitor_of_table_3_is_the_best_of_table_2():
    others = [row for row in QUOTED[1].rows if "[" in row.method]
    best = [
        max(float(value.removesuffix("†")) for row in others if (value := row.numbers[place])) for place in range(6)
    ]
    assert best[:5] == numbers_of_best()[:5] and best[5] == 37.6


def numbers_of_best() -> list[float]:
    (row,) = [row for row in QUOTED[2].rows if row.method == "Best competitor"]
    return [float(value.removesuffix("†")) for value in row.numbers]
