"""stages/parameters/checks.py: evaluations that do not fit their run's network, or their sets."""

from typing import Any

import pytest
from params_helpers import BASE
from stage_helpers import refused

from stages.parameters.resolution import resolve_run

TRAIN, TEST = {"set": "demo-voc", "split": "trainval"}, {"set": "demo-voc", "split": "test"}
PROBE = {"protocol": "linear_probe", "train": "demo", "test": "demo-test"}
DETECTION = {"protocol": "detection", "train": TRAIN, "test": TEST, "layers": "all"}
RETRIEVAL = {"protocol": "retrieval", "test": "demo-oxford", "whiten": "demo-paris"}


def resolve(entry: dict[str, Any], **changes: Any) -> None:
    content = BASE | changes | {"evaluations": {"mine": entry}}
    resolve_run(content | {"runs": {"demo": {"evaluations": ["mine"]}}}, "demo")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (PROBE | {"layers": ["conv6"]}, "mine.layers: alexnet of run demo has no conv6"),
        (PROBE | {"rates": {"con3": {"lr": 0.1}}}, "mine.rates: alexnet of run demo has no con3"),
        (PROBE | {"layers": ["conv1"], "rates": {"conv3": {"lr": 0.1}}}, "mine.rates: conv3 is not one of its layers"),
        (PROBE | {"protocol": "mlp", "layer": "fc8"}, "mine.layer: alexnet of run demo has no fc8"),
        (DETECTION | {"frozen": ["conv9"]}, "mine.frozen: alexnet of run demo has no conv9"),
        (RETRIEVAL | {"layer": "fc7"}, "mine.layer: alexnet of run demo has no fc7 here; it has conv1, conv2"),
        (RETRIEVAL | {"whiten": "demo-oxford"}, "mine.whiten: the whitening is learnt on another set"),
        (RETRIEVAL | {"whiten": "demo-voc"}, "mine: retrieval reads no set of layout voc"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(entry, told):
    assert told in refused(lambda: resolve(entry))


@pytest.mark.parametrize("entry", [PROBE | {"layers": ["conv5", "pool", "fc6", "features"]}, DETECTION, RETRIEVAL])
def test_what_fits_is_accepted(entry):
    resolve(entry)


def test_the_first_of_boxes_that_are_sorted_by_place_are_refused():
    sets = BASE["evaluation_sets"]
    searched = {"demo-voc": sets["demo-voc"] | {"search": "fast"}}
    entry = DETECTION | {"most_proposals": 300}
    resolve(entry)
    line = refused(lambda: resolve(entry, evaluation_sets=sets | searched))
    assert "mine.most_proposals" in line and "evaluation_sets.demo-voc.search" in line


def test_a_wrong_value_is_corrected_in_the_file_as_no_option_reaches_it():
    assert refused(lambda: resolve(PROBE | {"epochs": 0})).endswith("not 0; correct it in params.yaml")
