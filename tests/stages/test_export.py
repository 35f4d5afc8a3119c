"""stages/export.py: the weights and the table of epochs of a finished run."""

import pandas as pd
import torch
from safetensors.torch import load_file
from stage_helpers import RUN, epoch


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
