"""stages/protocols/paper_tables.py and measured.py: each number stands in its cell, in a row that says what it is."""

import pytest
from result_cases import LAYERS, demo_and_baseline, knn, network, probe, result, retrieval, untrained, voc

from stages.protocols.paper_tables import QUOTED_RUN, paper_tables
from stages.protocols.quoted import QUOTED, Column


def tables(*results):
    return {table.name: table for table in paper_tables(results)}


def measured(table):
    return [row for section in table.sections for row in section.rows if not row.quoted]


def texts(row):
    return {column: cell.text for column, cell in row.cells.items()}


def test_without_results_the_tables_are_the_papers():
    found = paper_tables([])
    assert [table.name for table in found] == ["table1", "table2", "table3", "table4", "table5"]
    for table, quoted in zip(found, QUOTED, strict=True):
        (section,) = table.sections
        assert section.columns == quoted.columns and table.notes == quoted.notes
        assert [row.method for row in section.rows] == [row.method for row in quoted.rows]
        for row, theirs in zip(section.rows, quoted.rows, strict=True):
            assert row.run == QUOTED_RUN and row.epochs is None and row.notes == ()
            assert [row.cells[c].text if c in row.cells else None for c in section.columns] == list(theirs.numbers)
            assert not any(cell.best for cell in row.cells.values())


def test_the_demo_and_its_baseline_fill_every_table():
    found = tables(*demo_and_baseline())
    for name, count in {"table1": 5, "table2": 6, "table3": 6, "table4": 1, "table5": 2, "others": 4}.items():
        demo, baseline = measured(found[name])
        assert (demo.run, demo.epochs, demo.trained_on) == ("demo", 8, "demo")
        assert (baseline.run, baseline.epochs, baseline.trained_on) == ("demo-random", 0, "—")
        assert (demo.method, baseline.method) == ("DeepCluster (this run)", "Random-sobel (this run)")
        assert len(demo.cells) == len(baseline.cells) == count
    assert texts(measured(found["table2"])[0]) == {
        Column("Classification", "FC6-8"): "60.2",
        Column("Classification", "ALL"): "61.2",
        Column("Detection", "FC6-8"): "50.2",
        Column("Detection", "ALL"): "51.2",
        Column("Segmentation", "FC6-8"): "40.2",
        Column("Segmentation", "ALL"): "41.2",
    }
    assert texts(measured(found["table4"])[0]) == {Column("", "AlexNet"): "51.2"}
    assert texts(measured(found["table5"])[1]) == {Column("", "Oxford5K"): "23.0", Column("", "Paris6K"): "34.0"}
    assert texts(measured(found["others"])[0])[Column("kNN", "k = 10")] == "75.2"


def test_a_probe_stands_under_the_data_that_it_is_tested_on():
    on_imagenet = probe(train="imagenet", test="imagenet-val", name="imagenet-linear")
    on_places = probe(top1=20.0, train="places205", test="places205-val", name="places-linear")
    table = tables(on_imagenet, on_places, probe(name="own"), probe(name="part", test="imagenet100-val"))["table1"]
    papers, own, part = table.sections
    assert [row.method for row in papers.rows][-2:] == ["DeepCluster", "DeepCluster (this run)"]
    row = papers.rows[-1]
    assert [row.cells[Column("ImageNet", layer)].text for layer in LAYERS] == ["40.0", "41.0", "42.0", "43.0", "44.0"]
    assert row.cells[Column("Places", "conv1")].text == "20.0"
    assert row.cells[Column("Places", "conv1")].evaluation == "places-linear"
    assert own.columns == tuple(Column("demo-test", layer) for layer in LAYERS)
    assert part.columns == tuple(Column("imagenet100-val", layer) for layer in LAYERS)
    assert [len(section.rows) for section in (own, part)] == [1, 1]


def test_further_layers_stand_in_their_group():
    content = probe(test="imagenet-val", name="imagenet-linear")
    content["numbers"]["top1"]["fc6"] = 12.0
    (section,) = tables(content)["table1"].sections
    assert [column.group for column in section.columns] == ["ImageNet"] * 6 + ["Places"] * 5
    assert section.columns[5].name == "fc6"


def test_another_network_has_a_column_of_its_own_in_table_4_and_is_named_everywhere():
    vgg = voc("detection", "all", 65.0, of=network(architecture="vgg16"))
    found = tables(vgg, voc("detection", "fc6-8", 1.0, "other"))
    assert texts(measured(found["table4"])[0]) == {Column("", "VGG-16"): "65.0"}
    assert [row.run for row in measured(found["table4"])] == ["demo"]
    assert any(note.startswith("VGG-16 with Sobel filters") for note in measured(found["table2"])[0].notes)


@pytest.mark.parametrize(
    ("of", "method", "trained_on"),
    [
        (network(), "DeepCluster (this run)", "demo"),
        (network(method="pic"), "DeepCluster by PIC (this run)", "demo"),
        (network(data="yfcc"), "DeepCluster (this run)", "YFCC100M"),
        (network(data="imagenet", method="labels"), "ImageNet labels (this run)", "ImageNet"),
        (untrained(sobel=False), "Random-rgb (this run)", "—"),
        (untrained(method="labels"), "Random-sobel (this run)", "—"),
        (untrained(start="torchvision resnet50 V2"), "Given weights: torchvision resnet50 V2 (this run)", "elsewhere"),
        (untrained(start="0123456789ab" + "c" * 52), "Given weights: file 0123456789ab (this run)", "elsewhere"),
        (network(start="mine"), "DeepCluster from mine (this run)", "demo"),
    ],
)
def test_a_row_is_named_by_how_its_network_came_about(of, method, trained_on):
    (row,) = measured(tables(knn(of=of))["others"])
    assert (row.method, row.trained_on) == (method, trained_on)


def test_a_row_of_labels_says_that_it_is_a_control():
    told = [note for note in measured(tables(knn(of=network(method="labels")))["others"])[0].notes if "control" in note]
    assert len(told) == 1
    assert not any("control" in note for note in measured(tables(knn())["others"])[0].notes)


def test_a_second_number_of_a_cell_begins_another_row_of_the_run():
    first, second = voc("detection", "all", 51.0), voc("detection", "all", 53.0) | {"evaluation": "longer"}
    other = voc("segmentation", "all", 20.0)
    one, two = measured(tables(first, second, other)["table2"])
    assert [cell.evaluation for cell in one.cells.values()] == ["detection-all", "segmentation-all"]
    assert [cell.evaluation for cell in two.cells.values()] == ["longer"]
    assert one.run == two.run == "demo"


def test_the_best_is_that_of_measured_rows_on_the_same_data():
    results = [
        voc("detection", "all", 51.04, "a"),
        voc("detection", "all", 51.01, "b"),
        voc("detection", "all", 50.0, "c"),
        voc("detection", "all", 40.0, "d", test={"set": "voc2007", "split": "test"}),
    ]
    best = [row.cells[Column("Detection", "ALL")].best for row in measured(tables(*results)["table2"])]
    # What prints the same is as good; other data is compared with nothing.
    assert best == [True, True, False, True]


def test_notes_say_what_was_measured_on_what():
    found = tables(*demo_and_baseline())
    demo, baseline = measured(found["table1"])
    assert demo.notes == (
        "AlexNet with Sobel filters, input 64, width 0.25.",
        "Trained on demo, tested on demo-test.",
        "Of the best epoch on the test pictures, as the released code reports it: 40.5, 41.5, 42.5, 43.5, 44.5.",
    )
    assert demo.notes[:2] == baseline.notes[:2]
    # A letter for each note, the same for the same note.
    assert found["table1"].letters(demo) == "a, b, c" and found["table1"].letters(baseline) == "a, b, d"
    assert "Queries of demo-oxford, whitened by demo-paris: regions of AlexNet's conv5." in (
        measured(found["table5"])[0].notes
    )
    assert "Trained on scenes trainval, tested on scenes test." in measured(found["table2"])[0].notes


def test_a_best_epoch_that_is_the_last_is_not_told_again():
    content = probe()
    content["numbers"]["best_top1"] = dict(content["numbers"]["top1"])
    assert len(measured(tables(content)["table1"])[0].notes) == 2


def test_other_settings_of_a_probe_are_told():
    content = probe(follow="zhang", per_class=1)
    notes = measured(tables(content)["table1"])[0].notes
    assert "Trained on demo (1 picture a class), tested on demo-test." in notes
    assert any("Zhang et al. [72]" in note for note in notes)


def test_letters_go_on_after_z():
    results = [retrieval("oxford5k", f"set{number:02d}", 1.0, f"run{number:02d}") for number in range(30)]
    letters = list(tables(*results)["table5"].footnotes.values())
    assert letters[:3] == ["a", "b", "c"] and letters[25:28] == ["z", "aa", "ab"]
    assert len(set(letters)) == len(letters) == 31


def test_what_no_table_has_room_for_changes_none():
    assert tables(result("other", {"score": 1.0})).keys() == tables().keys()


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("kmeans", "DeepCluster (this run)"),
        ("pic", "DeepCluster by PIC (this run)"),
        ("deepcluster-v2", "DeepCluster-v2 (this run)"),
        ("permuted", "Permuted pseudo-labels (this run)"),
    ],
)
def test_a_row_is_named_by_what_it_was_trained_with(method, name):
    (row,) = measured(tables(probe(of=network(method=method)))["table1"])
    assert row.method == name


def test_a_row_says_that_it_was_tested_on_pictures_that_it_was_trained_on():
    content = voc("segmentation", "all", 50.0)
    content["measured_on"]["test_images_trained_on"] = 7
    (row,) = measured(tables(content)["table2"])
    assert "7 test pictures trained on as well, going by names: this number flatters." in row.notes
