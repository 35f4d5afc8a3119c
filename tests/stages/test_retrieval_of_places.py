"""stages/retrieval.py: rankings of all pictures, and their average precision from the files of the set."""

import numpy as np
from evaluation_helpers import BUILDINGS, OTHERS, VIEWS, edited, evaluate_again, folder, result, table
from pytest import approx
from stage_helpers import files, refused

PICTURES = BUILDINGS * VIEWS + OTHERS


def lab(project, query, kind):
    path = project.path(f"data/evaluation/demo-oxford/pictures/lab/{query}_{kind}.txt")
    return set(path.read_text().split())


def test_average_precision_follows_from_the_rankings_and_the_files_of_the_set(evaluated):
    rows, curve = table(evaluated, "oxford"), table(evaluated, "oxford", "curve")
    assert len(curve) == len(set(curve["query"])) > BUILDINGS
    for query, told, positives in curve.itertuples(index=False):
        own = rows[rows["query"] == query]
        assert own["rank"].tolist() == list(range(1, PICTURES + 1)) and own["picture"].is_unique
        good = lab(evaluated, query, "good") | lab(evaluated, query, "ok")
        junk = lab(evaluated, query, "junk")
        assert positives == len(good)
        assert set(own.loc[own["truth"] == "positive", "picture"]) == good
        assert set(own.loc[own["truth"] == "junk", "picture"]) == junk
        # The program of the data sets: trapezoids between the points of recall and precision.
        found, seen, recall, precision, area = 0, 0, 0.0, 1.0, 0.0
        for picture in own["picture"]:
            if picture in junk:
                continue
            seen, found = seen + 1, found + (picture in good)
            area += (found / len(good) - recall) * (precision + found / seen) / 2
            recall, precision = found / len(good), found / seen
        assert told == approx(area)
    assert result(evaluated, "oxford")["numbers"] == {"map": approx(100 * curve["average_precision"].mean(), abs=1e-4)}
    assert result(evaluated, "oxford")["measured_on"] == {
        "images": PICTURES,
        "queries": len(curve),
        "whitening_images": PICTURES,
        "dimensions": 8,
        "layer": "conv5",
    }


def test_no_more_dimensions_than_the_layer_has(evaluated_copy):
    edited(evaluated_copy, "oxford", dimensions=512)
    evaluate_again(evaluated_copy, "oxford")
    assert result(evaluated_copy, "oxford")["measured_on"]["dimensions"] == 16


def test_size_and_levels_reach_the_descriptors(evaluated_copy):
    before = files(folder(evaluated_copy, "oxford"))["predictions.parquet"]
    for more in ({"longest": 128}, {"levels": 1}, {"layer": "conv4"}):
        edited(evaluated_copy, "oxford", **more)
        evaluate_again(evaluated_copy, "oxford")
        after = files(folder(evaluated_copy, "oxford"))["predictions.parquet"]
        assert after != before, more
        before = after


def test_a_size_too_small_for_the_layer_is_refused_with_the_key(evaluated_copy):
    edited(evaluated_copy, "oxford", longest=20)
    line = refused(lambda: evaluate_again(evaluated_copy, "oxford"))
    assert "evaluations.oxford.longest 20" in line and "set it larger" in line


def test_the_whitening_is_of_another_set(evaluated_copy):
    edited(evaluated_copy, "oxford", whiten="demo-oxford")
    assert "evaluations.oxford.whiten" in refused(lambda: evaluate_again(evaluated_copy, "oxford"))


def test_a_set_without_queries_is_refused(evaluated_copy):
    edited(evaluated_copy, "oxford", whiten="demo-voc")
    assert "demo-voc" in refused(lambda: evaluate_again(evaluated_copy, "oxford"))


def test_a_damaged_network_stops_it_with_a_line(evaluated_copy):
    path = evaluated_copy.run_path("model.safetensors")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    assert str(path) in refused(lambda: evaluate_again(evaluated_copy, "oxford"))
    assert np.isfinite(table(evaluated_copy, "knn")["k1"]).all()
