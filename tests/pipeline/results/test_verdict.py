"""pipeline/results/verdict.py: what is told of a finished run, and that the commands that it names exist."""

from __future__ import annotations

import json
import math
import re
import shlex

import pytest
from pipeline_helpers import changed, content_of
from typer.main import get_command

from pipeline.cli.commands import app
from pipeline.results.verdict import verdict
from stages.dag.revisions import revisions
from stages.parameters.resolution import resolve_run

GOOD = {
    "ami_labels": 0.372,
    "nmi_labels": 0.41,
    "purity": 0.5,
    "untrained_ami": 0.231,
    "untrained_nmi": 0.3,
    "untrained_purity": 0.35,
    "last_ami": 0.34,
    "pixels_ami": 0.297,
    "pixels_nmi": 0.33,
    "pixels_purity": 0.4,
    "largest_share": 0.04,
    "collapsed": False,
    "loss": 2.31,
    "loss_to_chance": 0.52,
    "labels": 84,
}
UNLABELLED = GOOD | {key: None for key in GOOD if key.endswith(("nmi", "ami", "purity", "_labels"))}
UNTRAINED = (
    GOOD
    | {"loss": None, "loss_to_chance": None, "labels": None}
    | {key: None for key in GOOD if key.startswith("untrained")}
)


def params(**values):
    content = content_of()
    for key, value in values.items():
        content = changed(content, key.replace("__", "."), value)
    return resolve_run(content, "demo", revisions())


def commands(line):
    return re.findall(r"`python -m pipeline (.*?)`", line)


def test_a_run_that_has_learnt_is_one_line_of_numbers():
    assert verdict(GOOD, params()) == [
        "loss 2.310 of ln 84 = 4.431; to labels AMI 0.372, NMI 0.410, purity 0.500 "
        "(before training 0.231, 0.300, 0.350; k-means on pixels 0.297, 0.330, 0.400)"
    ]


def test_epochs_whose_labels_are_unknown_have_no_loss_of_guessing():
    assert verdict(UNLABELLED | {"labels": None}, params()) == ["loss 2.310"]


def test_without_labels_it_speaks_of_loss_alone():
    assert verdict(UNLABELLED, params()) == ["loss 2.310 of ln 84 = 4.431"]


def test_a_run_without_epochs_has_no_loss_and_no_advice():
    assert verdict(UNTRAINED, params(epochs=0)) == [
        "to labels AMI 0.372, NMI 0.410, purity 0.500 (k-means on pixels 0.297, 0.330, 0.400)"
    ]
    _, worse = verdict(UNTRAINED | {"pixels_ami": 0.5, "collapsed": True, "largest_share": 0.94}, params(epochs=0))
    assert worse == (
        "collapse: the largest cluster holds 94% of the pictures; "
        "the groups tell less of the labels than those of k-means on pixels"
    )
    assert verdict(UNTRAINED | UNLABELLED | {"loss": None, "loss_to_chance": None}, params(epochs=0)) == []


def test_a_measure_that_an_earlier_version_did_not_make_is_a_dash():
    (line,) = verdict(GOOD | {"untrained_purity": None}, params())
    assert "before training 0.231, 0.300, -;" in line


@pytest.mark.parametrize("share", [0.969, 0.971])
def test_a_loss_near_that_of_guessing_is_a_standstill(share):
    found = verdict(UNLABELLED | {"loss_to_chance": share}, params())
    assert len(found) == 1 + (share > 0.97)
    if share > 0.97:
        assert found[1].startswith("standstill: the network has not learnt its pseudo-labels: more epochs, `")
        assert commands(found[1]) == [
            "run --run demo --epochs 16",
            "branch --from demo@0 --run NAME --set train.top_momentum=0.9",
            "branch --from demo@0 --run NAME --set cluster.k=25",
        ]


def test_a_schedule_that_has_fallen_to_nothing_is_no_standstill():
    """Its last epochs' new top layers learn nothing: the loss rises to that of guessing again."""
    found = verdict(UNLABELLED | {"loss": math.log(84), "loss_to_chance": 0.6}, params())
    assert found == ["loss 4.431 of ln 84 = 4.431 (at best 60% of that)"]


def test_advice_is_such_that_the_run_can_take_it():
    still = UNLABELLED | {"loss_to_chance": 1.0}
    assert not any("cluster.k" in each for each in commands(verdict(still, params(cluster__method="labels"))[1]))
    assert "train.passes=4" in verdict(still, params(train__top_momentum=0.9))[1]
    cosine = params(train__schedule="cosine")
    assert commands(verdict(still, cosine)[1])[0].startswith("branch")
    branched = params(branch="other@3")
    told = commands(verdict(still, branched)[1])
    assert told[0] == "run --run demo --epochs 13" and "--from demo@3" in told[1]
    worse = GOOD | {"pixels_ami": 0.5}
    given = params(init__weights="a.pth", init__sha256="0" * 64)
    assert not any("--weights" in each for each in commands(verdict(worse, given)[1]))
    assert verdict(worse, params(init__weights="a.pth", init__sha256="0" * 64, train__schedule="cosine"))[1] == (
        "the groups tell less of the labels than those of k-means on pixels"
    )
    odd = params(datasets__demo__path="my pictures", datasets__demo__generate=None)
    assert "--images 'my pictures' " in verdict(worse, odd)[1]


def test_one_label_is_no_standstill():
    assert len(verdict(UNLABELLED | {"loss": 0.0, "loss_to_chance": None, "labels": 1}, params())) == 1
    # Nor is it the end of a run whose earlier epochs had more.
    assert verdict(UNLABELLED | {"loss": 0.0, "loss_to_chance": 0.5, "labels": 1}, params()) == [
        "loss 0.000 of ln 1 = 0.000"
    ]


def test_a_collapse_is_named_first_and_asks_for_a_lower_rate():
    _, line = verdict(GOOD | {"collapsed": True, "largest_share": 0.94, "loss_to_chance": 1.2}, params())
    assert line == (
        "collapse: the largest cluster holds 94% of the pictures; standstill: the network has not learnt its "
        "pseudo-labels: lower train.lr, `python -m pipeline branch --from demo@0 --run NAME --set train.lr=0.01`"
    )


@pytest.mark.parametrize(
    ("name", "words"), [("untrained", "the network before training"), ("pixels", "k-means on pixels")]
)
def test_groups_below_what_costs_no_training_are_told_by_ami_alone(name, words):
    assert len(verdict(GOOD | {f"{name}_nmi": 0.9, f"{name}_purity": 0.9, f"{name}_ami": 0.372}, params())) == 1
    _, line = verdict(GOOD | {f"{name}_ami": 0.373}, params())
    assert line.startswith(f"the groups tell less of the labels than those of {words}: more epochs, `")
    assert commands(line) == [
        "run --run demo --epochs 16",
        "run --run NAME --images data/images/demo/pictures --weights torchvision:resnet50 --epochs 0",
    ]


def test_every_command_that_is_advised_can_be_parsed():
    cases = [{"loss_to_chance": 2.0}, {"collapsed": True}, {"pixels_ami": 0.9}]
    told = [command for case in cases for command in commands(verdict(GOOD | case, params())[1])]
    assert len(told) == 6
    for command in told:
        name, *words = shlex.split(command)
        get_command(app).commands[name].make_context(name, words)


def test_a_run_ends_with_its_verdict_and_the_branch_that_it_advises_can_be_made(cli, finished_copy):
    ended = cli(finished_copy.root, "run")
    lines = ended.out.splitlines()
    at = lines.index("run demo: nothing to do, all stages are up to date")
    summary = json.loads(finished_copy.run_path("summary.json").read_text())
    small = params(cluster__k=10, epochs=2)
    expected = [f"run demo: {line}" for line in verdict(summary, small)]
    assert f"AMI {summary['ami_labels']:.3f}" in lines[at + 1]
    assert lines[at + 1 : at + 1 + len(expected)] == expected
    # Two epochs of 170 pictures teach nothing.
    assert "standstill" in expected[1]
    branches = [command for command in commands(expected[1]) if command.startswith("branch")]
    assert len(branches) == 2
    for number, command in enumerate(branches):
        made = cli(finished_copy.root, *shlex.split(command.replace("NAME", f"b{number}")))
        assert made.status == 0, made.err


def test_groups_that_final_makes_otherwise_are_not_set_beside_those_before_training():
    otherwise = params(final__extract__view="five-crop")
    assert verdict(GOOD, otherwise) == [
        "loss 2.310 of ln 84 = 4.431; to labels AMI 0.372, NMI 0.410, purity 0.500 "
        "(k-means on pixels 0.297, 0.330, 0.400); AMI of the clusters that it trained on 0.231 at first, 0.340 at last"
    ]
    # Of one epoch there is no first and last.
    (line,) = verdict(GOOD, params(final__extract__view="five-crop", epochs=1))
    assert line.endswith("(k-means on pixels 0.297, 0.330, 0.400)")
    assert len(verdict(GOOD | {"untrained_ami": 0.339}, otherwise)) == 1
    assert "the network before training" in verdict(GOOD | {"untrained_ami": 0.341}, otherwise)[1]


def test_few_groups_that_were_asked_for_are_no_collapse():
    held = GOOD | {"collapsed": True, "largest_share": 0.94}
    assert len(verdict(held, params(final__cluster__k=2))) == 1


def test_a_loss_by_cosines_is_not_set_beside_that_of_guessing():
    v2 = params(recipe="deepcluster-v2")
    (line,) = verdict(GOOD | {"loss_to_chance": 1.0}, v2)
    assert line.startswith("loss 2.310; to labels AMI 0.372")
