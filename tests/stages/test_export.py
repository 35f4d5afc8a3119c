"""stages/export.py: the weights and the table of epochs of a finished run."""

import json

import pandas as pd
import torch
from safetensors.torch import load_file
from stage_helpers import RUN, epoch, run_one


def test_the_exported_weights_are_those_of_the_last_epoch_without_a_top_layer(finished):
    state = torch.load(epoch(finished, "checkpoint.pt", "epochs/0002"), weights_only=True)["network"]
    exported = load_file(finished.root / RUN / "model.safetensors")
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[name], state[name]) for name in state)


def test_the_table_of_epochs_has_a_last_row_without_losses(finished):
    history = pd.read_csv(finished.root / RUN / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["loss"].isna().tolist() == [False, False, True]
    assert history["nmi_labels"].notna().all()


def test_the_summary_has_the_groups_beside_those_before_training_and_of_pixels(finished):
    def read(name):
        return json.loads(epoch(finished, name, "").read_text())

    summary, pixels = read("summary.json"), read("baseline.json")
    first, last, final = (
        read(f"{name}.json") for name in ("epochs/0001/clustering", "epochs/0002/metrics", "final/clustering")
    )
    names = {"nmi": "nmi_labels", "ami": "ami_labels", "purity": "purity", "knn": "knn_accuracy"}
    for ending, name in names.items():
        assert (summary[name], summary[f"untrained_{ending}"]) == (final[name], first[name])
        assert summary[f"pixels_{ending}"] == pixels[name]
    assert len({summary["ami_labels"], summary["untrained_ami"], summary["pixels_ami"]}) == 3
    assert (summary["loss"], summary["labels"]) == (last["loss"], last["labels"])


def test_epochs_of_an_earlier_version_lack_purity_and_are_exported(finished_copy):
    path = epoch(finished_copy, "metrics.json")
    row = json.loads(path.read_text())
    del row["purity"]
    path.write_text(json.dumps(row))
    run_one(finished_copy, "export", "")
    history = pd.read_csv(epoch(finished_copy, "history.csv", ""))
    assert history["purity"].isna().tolist() == [True, False, False]
    summary = json.loads(epoch(finished_copy, "summary.json", "").read_text())
    assert summary["untrained_purity"] is None and summary["untrained_ami"] == row["ami_labels"]
